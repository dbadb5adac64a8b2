"""Products, orders and their history."""

from data.kit.messaging_ddl import MESSAGING_1, MESSAGING_1_DOWN
from data.kit.migrate import execute

revision, down_revision = "0001", None

UP = (
    *MESSAGING_1,
    """CREATE TABLE products (
        id uuid NOT NULL, sku text NOT NULL, name text NOT NULL, category text NOT NULL, description text NOT NULL,
        process text NOT NULL, material text NOT NULL, price numeric(14, 2) NOT NULL, currency text NOT NULL,
        in_stock boolean NOT NULL, model_sha256 text, version integer NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_products PRIMARY KEY (id), CONSTRAINT uq_products_sku UNIQUE (sku)
    )""",
    "CREATE INDEX ix_products_newest ON products (created_at DESC, id DESC)",
    "CREATE INDEX ix_products_category ON products (category, created_at DESC, id DESC)",
    "CREATE INDEX ix_products_in_stock ON products (category, created_at DESC, id DESC) WHERE in_stock",
    """CREATE TABLE orders (
        id uuid NOT NULL, owner_id text NOT NULL, partner boolean NOT NULL, status text NOT NULL, held_from text,
        process text NOT NULL, material text NOT NULL, finish text, quantity integer NOT NULL, priority text NOT NULL,
        product_id uuid, unit text, model_sha256 text, quote_id uuid, quote jsonb, submitted_at timestamptz,
        revision integer NOT NULL DEFAULT 1,
        version integer NOT NULL DEFAULT 1, created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_orders PRIMARY KEY (id)
    )""",
    "CREATE INDEX ix_orders_owner ON orders (owner_id, created_at DESC, id DESC)",
    "CREATE INDEX ix_orders_waiting ON orders (submitted_at) WHERE status = 'SUBMITTED'",
    """CREATE TABLE order_history (
        order_id uuid NOT NULL, n integer NOT NULL, status text NOT NULL, at timestamptz NOT NULL, by text NOT NULL,
        CONSTRAINT pk_order_history PRIMARY KEY (order_id, n),
        CONSTRAINT fk_order_history_order_id FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE
    )""",
)
DOWN = ("DROP TABLE order_history, orders, products", *MESSAGING_1_DOWN)


def upgrade() -> None:
    """Create the tables."""
    execute(UP)


def downgrade() -> None:
    """Drop the tables."""
    execute(DOWN)
