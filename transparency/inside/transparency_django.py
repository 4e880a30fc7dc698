"""Django's own runner, which tells outcomes: the settings of its tests name it as TEST_RUNNER."""

from __future__ import annotations

import inspect
import unittest

import transparency_outcomes
from django.test.runner import DiscoverRunner


class _Result(unittest.TextTestResult):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._outcomes = []
        self._text = ""

    def _add(self, outcome, error=None):
        if outcome not in self._outcomes:
            self._outcomes.append(outcome)
        if error is not None:
            self._text = f"{error[0].__name__}: {error[1]}"

    def addSuccess(self, test):
        super().addSuccess(test)
        self._add("passed")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._add("failed", err)

    def addError(self, test, err):
        super().addError(test, err)
        self._add("error", err)
        if not hasattr(test, "_testMethodName"):  # of a class or a module: it is no test
            self._tell(test)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._add(f"failed {subtest.id().removeprefix(test.id())}", err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._add("skipped")
        if not hasattr(test, "_testMethodName"):
            self._tell(test)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self._add("xfailed")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._add("xpassed")

    def stopTest(self, test):
        super().stopTest(test)
        self._tell(test)

    def _tell(self, test):
        transparency_outcomes.tell(test.id(), ", ".join(self._outcomes), self._text)
        self._outcomes = []
        self._text = ""


class Runner(DiscoverRunner):
    def get_resultclass(self):
        return _Result

    def run_suite(self, suite, **kwargs):
        files = sorted({inspect.getfile(type(test)) for test in suite})
        transparency_outcomes.expect(suite.countTestCases())
        try:
            return super().run_suite(suite, **kwargs)
        finally:
            transparency_outcomes.end(files)
