"""A Flask view: SQLAlchemy's ORM on SQLite, and a Jinja template."""

from __future__ import annotations

import os
from pathlib import Path

from flask import Flask, render_template, request
from sqlalchemy import ForeignKey, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship

from .tick import tick

BOOKS = 20

app = Flask(__name__)
engine = create_engine(f"sqlite:///{Path(os.environ['BENCH_DATA'], f'shelf-{os.getpid()}.sqlite')}")


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    cents: Mapped[int]
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    author: Mapped[Author] = relationship()


def fill() -> None:
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        authors = [Author(name=f"Author {number}") for number in range(5)]
        session.add_all(authors)
        session.add_all(
            Book(title=f"Book {number}", cents=990 + number * 45, author=authors[number % 5])
            for number in range(BOOKS * 4)
        )
        session.commit()


def books(session: Session, page: int) -> list[Book]:
    wanted = select(Book).options(joinedload(Book.author)).order_by(Book.title).limit(BOOKS).offset(page * BOOKS)
    return list(session.scalars(wanted))


def label(book: Book) -> str:
    return f"{book.title}, {book.author.name}: {book.cents / 100:.2f}"


@app.get("/")
def shelf() -> str:
    page = int(request.args.get("page", tick() % 4))
    with Session(engine) as session:
        found = books(session, page)
        if not found:
            raise ValueError("an empty shelf")  # breakpoint
        labels = [label(book) for book in found]
        return render_template("shelf.html", page=page, labels=labels, books=found)


fill()
