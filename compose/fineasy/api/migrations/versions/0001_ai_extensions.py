"""AI extensions: analysis results, fraud alerts, insights, models."""

from alembic import op

revision = "0001"
down_revision = None
slipway = "expand"

UPGRADE = """
CREATE SEQUENCE ai_analysis_number;

CREATE TABLE ai_analysis_results (
    number bigint PRIMARY KEY,
    business_id text NOT NULL,
    analysis_type text NOT NULL,
    status text NOT NULL CHECK (status IN ('done', 'failed')),
    result jsonb,
    error text,
    duration_ms integer NOT NULL,
    worker text NOT NULL,
    release text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((status = 'done') = (result IS NOT NULL))
);
CREATE INDEX idx_ai_analysis_business_type ON ai_analysis_results (business_id, analysis_type);
CREATE INDEX idx_ai_analysis_created ON ai_analysis_results (created_at);

CREATE TABLE fraud_alerts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    business_id text NOT NULL,
    payment_id text NOT NULL,
    score double precision NOT NULL CHECK (score BETWEEN 0 AND 1),
    verdict text NOT NULL CHECK (verdict IN ('review', 'block')),
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'confirmed', 'dismissed')),
    model_version text NOT NULL,
    payment jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (business_id, payment_id)
);
CREATE INDEX idx_fraud_alerts_business_status ON fraud_alerts (business_id, status);
CREATE INDEX idx_fraud_alerts_created ON fraud_alerts (created_at);

CREATE TABLE business_insights (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    business_id text NOT NULL,
    insight_type text NOT NULL,
    summary text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}',
    valid_until timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_insights_business_valid ON business_insights (business_id, valid_until);
CREATE INDEX idx_insights_type ON business_insights (insight_type);

CREATE TABLE ml_models (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    version text NOT NULL,
    sha256 text NOT NULL,
    first_used_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (name, version, sha256)
);
"""

DOWNGRADE = """
DROP TABLE ml_models, business_insights, fraud_alerts, ai_analysis_results;
DROP SEQUENCE ai_analysis_number;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
