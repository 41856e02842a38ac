"""The samples, and what a run says of its cells; a table of samples that the fleet keeps is taken as it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None

#: SQLite keeps times as text.
_TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    if not sa.inspect(op.get_bind()).has_table("bpb_samples", schema="ssot"):
        op.create_table(
            "bpb_samples",
            sa.Column("canon_name", sa.Text, nullable=False),
            sa.Column("format", sa.Text),
            sa.Column("algo", sa.Text),
            sa.Column("hidden", sa.BigInteger),
            sa.Column("seed", sa.BigInteger),
            sa.Column("step", sa.BigInteger),
            sa.Column("bpb", sa.Double),
            sa.Column("sha", sa.Text),
            sa.Column("run_id", sa.Text),
            sa.Column("ts", _TIME),
            schema="ssot",
        )
        op.create_index("bpb_samples_by_name", "bpb_samples", ["canon_name", "bpb"], schema="ssot")
    op.create_table(
        "quantgate_runs",
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("ts", _TIME, nullable=False),
        sa.Column("sha", sa.Text),
        sa.Column("branch", sa.Text),
        sa.Column("exit_status", sa.BigInteger, nullable=False),
        sa.Column("quantgate", sa.Text, nullable=False),
        schema="ssot",
    )
    op.create_table(
        "quantgate_environments",
        sa.Column("environment", sa.Text, primary_key=True),
        *(
            sa.Column(name, sa.Text)
            for name in ("torch", "numpy", "python", "cpu", "isa", "threads", "device")
        ),
        sa.Column("everything", sa.Text, nullable=False),
        schema="ssot",
    )
    op.create_table(
        "quantgate_verdicts",
        sa.Column("run_id", sa.Text, primary_key=True),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("cell", sa.Text, nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("canon_name", "subject", "kind", "format", "optimizer")
        ),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("seed", "width", "steps")),
        sa.Column("lr", sa.Double),
        sa.Column("storage", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        *(sa.Column(name, sa.Double) for name in ("bpb_initial", "bpb", "bpb_control", "gap")),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("cause", sa.Text),
        sa.Column("because", sa.Text),
        sa.Column("seconds", sa.Double),
        sa.Column("corpus", sa.Text),
        sa.Column("corpus_sha256", sa.Text),
        sa.Column("environment", sa.Text),
        sa.Column("shard", sa.Text),
        schema="ssot",
    )
    op.create_index("quantgate_verdicts_by_cell", "quantgate_verdicts", ["cell"], schema="ssot")
    op.create_index("quantgate_verdicts_by_run", "quantgate_verdicts", ["run"], schema="ssot")
    op.create_index("quantgate_runs_by_time", "quantgate_runs", ["ts"], schema="ssot")
