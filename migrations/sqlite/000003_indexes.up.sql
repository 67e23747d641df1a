-- An index that no question uses, which every execution report paid for.
DROP INDEX executions_rejected;
