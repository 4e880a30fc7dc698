CREATE TABLE IF NOT EXISTS products (
    sku TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    price_cents INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS positions (
    cart TEXT NOT NULL,
    sku TEXT NOT NULL REFERENCES products (sku),
    quantity INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS positions_by_cart ON positions (cart);
CREATE TABLE IF NOT EXISTS coupons (
    code TEXT PRIMARY KEY,
    percent TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS orders (
    reference TEXT PRIMARY KEY,
    cart TEXT NOT NULL,
    region TEXT NOT NULL,
    shelf TEXT NOT NULL,
    total_cents INTEGER NOT NULL
);

-- What a piece cost from each night on; the last one holds.
CREATE TABLE IF NOT EXISTS nightly (sku TEXT NOT NULL, night TEXT NOT NULL, cents INTEGER NOT NULL);
