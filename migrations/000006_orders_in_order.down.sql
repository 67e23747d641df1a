DROP INDEX orders_in_order;
