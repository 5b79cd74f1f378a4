"""What a call is known by beside its span: library, use case, attempts; traces to put together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ROOT_ANSWER = "parent_span_id IS NULL AND response_id IS NOT NULL"
_ROOT_FAILURE = "parent_span_id IS NULL AND error_type IS NOT NULL"


def upgrade() -> None:
    """Add the columns and tables."""
    for name, kind in (
        ("app_cost_usd", sa.BigInteger()),
        ("kind", sa.Integer()),
        ("library", sa.Text()),
        ("library_version", sa.Text()),
        ("use_case_from", sa.Text()),
        ("duplicate_of", sa.LargeBinary()),
        ("attempts", sa.Integer()),
        ("service_tier", sa.Text()),
        ("output_kind", sa.Text()),
        ("output_script", sa.Text()),
    ):
        op.add_column("span", sa.Column(name, kind))
    op.create_index(
        "span_answer",
        "span",
        ["project", "response_id", "started_ns"],
        sqlite_where=sa.text(_ROOT_ANSWER),
        postgresql_where=sa.text(_ROOT_ANSWER),
    )
    op.create_index(
        "span_failure",
        "span",
        ["project", "started_ns"],
        sqlite_where=sa.text(_ROOT_FAILURE),
        postgresql_where=sa.text(_ROOT_FAILURE),
    )
    op.create_table(
        "span_said",
        sa.Column("project", sa.Text(), primary_key=True),
        sa.Column("trace_id", sa.LargeBinary(), primary_key=True),
        sa.Column("span_id", sa.LargeBinary(), primary_key=True),
        sa.Column("received_s", sa.BigInteger(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
    )
    op.create_index("span_said_age", "span_said", ["project", "received_s"])
    op.create_table(
        "unsettled_trace",
        sa.Column("project", sa.Text(), primary_key=True),
        sa.Column("trace_id", sa.LargeBinary(), primary_key=True),
        sa.Column("mark", sa.LargeBinary(), primary_key=True),
    )
    _add_scores()
    _add_prompts()


def _add_prompts() -> None:
    op.create_table(
        "prompt_variant",
        sa.Column("project", sa.Text(), primary_key=True),
        sa.Column("group_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("checksum", sa.Text(), primary_key=True),
        sa.Column("first_s", sa.BigInteger(), nullable=False),
        sa.Column("last_s", sa.BigInteger(), nullable=False),
        sa.Column("trace_id", sa.LargeBinary(), nullable=False),
        sa.Column("span_id", sa.LargeBinary(), nullable=False),
        sa.Column("tokens", sa.LargeBinary()),
        sa.Column("identity", sa.Text()),
        sa.Column("is_fresh", sa.Boolean(), nullable=False),
        sa.Column("todo_s", sa.BigInteger()),
    )
    for name, columns, where in (
        ("prompt_variant_fresh", ["project", "group_id"], "is_fresh IS true"),
        ("prompt_variant_todo", ["project"], "todo_s IS NOT NULL"),
    ):
        # As the query says it on each: SQLite uses the index for no other words.
        lite = sa.text(where.replace("IS true", "IS 1"))
        op.create_index(
            name, "prompt_variant", columns, sqlite_where=lite, postgresql_where=sa.text(where)
        )
    op.create_index("prompt_variant_age", "prompt_variant", ["project", "last_s"])
    op.create_table(
        "prompt_template",
        sa.Column("project", sa.Text(), primary_key=True),
        sa.Column("group_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("identity", sa.Text(), primary_key=True),
        sa.Column("tokens", sa.LargeBinary(), nullable=False),
        sa.Column("last_s", sa.BigInteger(), nullable=False),
    )


def _add_scores() -> None:
    op.create_table(
        "score",
        sa.Column("project", sa.Text(), primary_key=True),
        sa.Column("trace_id", sa.LargeBinary(), primary_key=True),
        sa.Column("span_id", sa.LargeBinary(), primary_key=True),
        sa.Column("score_id", sa.LargeBinary(), primary_key=True),
        sa.Column("session_id", sa.Text()),
        sa.Column("response_id", sa.Text()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("annotator", sa.Text()),
        sa.Column("value", sa.Float()),
        sa.Column("label", sa.Text()),
        sa.Column("error_type", sa.Text()),
        sa.Column("at_s", sa.BigInteger(), nullable=False),
        sa.Column("received_s", sa.BigInteger(), nullable=False),
    )
    for name, column in (("score_answer", "response_id"), ("score_session", "session_id")):
        known = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            name, "score", ["project", column], sqlite_where=known, postgresql_where=known
        )
    op.create_index("score_age", "score", ["project", "received_s"])


def downgrade() -> None:
    """Drop what upgrade() added."""
    op.drop_table("prompt_template")
    op.drop_table("prompt_variant")
    op.drop_table("score")
    op.drop_table("unsettled_trace")
    op.drop_table("span_said")
    op.drop_index("span_failure", "span")
    op.drop_index("span_answer", "span")
    for name in (
        "output_script",
        "output_kind",
        "service_tier",
        "attempts",
        "duplicate_of",
        "use_case_from",
        "library_version",
        "library",
        "kind",
        "app_cost_usd",
    ):
        op.drop_column("span", name)
