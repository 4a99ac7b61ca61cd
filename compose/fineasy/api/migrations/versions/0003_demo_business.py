"""The demo business: insights that a smoke test can ask for."""

from alembic import op

revision = "0003"
down_revision = "0002"
slipway = "expand"

UPGRADE = """
INSERT INTO business_insights (business_id, insight_type, summary, details, valid_until)
VALUES
    ('demo', 'cash_flow', 'Incomes exceed expenses by a fifth', '{"inflow": 120000, "outflow": 100000}', '2099-12-31Z'),
    ('demo', 'compliance', 'The tax return of the quarter is complete', '{"missing": []}', '2099-12-31Z'),
    ('demo', 'customers', 'Two customers make up half of the turnover', '{"share": 0.51}', '2099-12-31Z');
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DELETE FROM business_insights WHERE business_id = 'demo'")
