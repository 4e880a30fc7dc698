"""A Django view: its ORM on SQLite, and a template of its own engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import django
from django.apps import apps
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from .tick import tick

if TYPE_CHECKING:
    from .django_models import Book

BOOKS = 20


def fill() -> None:
    from .django_models import Author, Book  # noqa: PLC0415  # the apps must be set up before

    with connection.schema_editor() as editor:
        editor.create_model(Author)
        editor.create_model(Book)
    authors = [Author.objects.create(name=f"Author {number}") for number in range(5)]
    for number in range(BOOKS * 4):
        Book.objects.create(title=f"Book {number}", cents=990 + number * 45, author=authors[number % 5])


def books(page: int) -> list[Book]:
    from .django_models import Book  # noqa: PLC0415

    return list(Book.objects.select_related("author").order_by("title")[page * BOOKS : (page + 1) * BOOKS])


def label(book: Book) -> str:
    return f"{book.title}, {book.author.name}: {book.cents / 100:.2f}"


def shelf(request: HttpRequest) -> HttpResponse:
    page = int(request.GET.get("page", tick() % 4))
    found = books(page)
    if not found:
        raise ValueError("an empty shelf")  # breakpoint
    labels = [label(book) for book in found]
    return render(request, "shelf.html", {"page": page, "labels": labels, "books": found})


urlpatterns = [path("", shelf)]


def application() -> Any:
    if not apps.ready:
        django.setup()
    made = get_wsgi_application()
    fill()
    return made
