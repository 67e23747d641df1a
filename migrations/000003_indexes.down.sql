CREATE INDEX executions_sequence ON executions USING brin (sequence);
CREATE INDEX executions_rejected ON executions (session, client_order_id) WHERE order_id IS NULL;
