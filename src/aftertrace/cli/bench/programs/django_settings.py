"""Django's settings of django_shelf."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = __name__.rpartition(".")[0]

SECRET_KEY = "bench"  # noqa: S105  # nothing is signed with it
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = f"{_PACKAGE}.django_shelf"
INSTALLED_APPS = [f"{_PACKAGE}.django_shelf"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(Path(os.environ["BENCH_DATA"], f"django-{os.getpid()}.sqlite")),
    }
}
TEMPLATES = [
    {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [Path(__file__).parent / "templates"]}
]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True
