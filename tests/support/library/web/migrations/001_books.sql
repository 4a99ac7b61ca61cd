-- Books and who wrote them.
-- slipway: expand
CREATE TABLE books (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text NOT NULL,
    writer text
);
INSERT INTO books (title, writer) VALUES ('Candide', 'Voltaire; "Arouet"');
