-- A time is searched for among orders that are no quotes: a quote's row is of a later time than its id. Of many
-- quotes in a row each question of the search read all.
CREATE INDEX orders_in_order ON orders (order_id) WHERE is_quote = 0;
