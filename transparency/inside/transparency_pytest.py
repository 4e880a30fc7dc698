"""A pytest plugin: outcomes by test id. Of a test that passes in each phase "passed"; else what its phases said."""

from __future__ import annotations

import transparency_outcomes


class _Watch:
    def __init__(self):
        self._outcomes = {}
        self._texts = {}
        self._files = []

    def pytest_collection_finish(self, session):
        self._files = sorted({str(item.path) for item in session.items})
        transparency_outcomes.expect(len(session.items))

    def pytest_collectreport(self, report):
        if report.failed:
            transparency_outcomes.tell(report.nodeid, "error at collection", str(report.longrepr))

    def pytest_runtest_logreport(self, report):
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "xfailed" if report.skipped else "xpassed"
        if report.when == "teardown" and report.failed:
            outcome = "failed at teardown"
        if report.when == "call" or outcome != "passed":
            self._outcomes.setdefault(report.nodeid, []).append(outcome)
        if report.failed:
            self._texts[report.nodeid] = str(report.longrepr)

    def pytest_runtest_logfinish(self, nodeid):
        outcomes = dict.fromkeys(self._outcomes.pop(nodeid, []))
        transparency_outcomes.tell(nodeid, ", ".join(outcomes), self._texts.pop(nodeid, ""))

    def pytest_unconfigure(self):
        transparency_outcomes.end(self._files)


def pytest_configure(config):
    config.pluginmanager.register(_Watch())
