"""Feature flags and usage analytics."""

from alembic import op

revision = "0002"
down_revision = "0001"
slipway = "expand"

UPGRADE = """
CREATE TABLE feature_flags (
    name text PRIMARY KEY,
    enabled boolean NOT NULL DEFAULT false,
    description text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO feature_flags (name, enabled, description)
VALUES ('fraud_alerts', true, 'payments that are not allowed are recorded as fraud alerts');

CREATE TABLE usage_analytics (
    business_id text NOT NULL,
    feature text NOT NULL,
    day date NOT NULL,
    uses bigint NOT NULL,
    PRIMARY KEY (business_id, feature, day)
);
CREATE INDEX idx_usage_day ON usage_analytics (day);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE usage_analytics, feature_flags")
