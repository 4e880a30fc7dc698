"""The models of django_shelf."""

from __future__ import annotations

from django.db import models


class Author(models.Model):
    name: models.CharField[str, str] = models.CharField(max_length=80)

    class Meta:
        app_label = "django_shelf"


class Book(models.Model):
    title: models.CharField[str, str] = models.CharField(max_length=80)
    cents: models.IntegerField[int, int] = models.IntegerField()
    author: models.ForeignKey[Author, Author] = models.ForeignKey(Author, on_delete=models.CASCADE)

    class Meta:
        app_label = "django_shelf"
