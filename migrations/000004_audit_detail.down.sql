-- What the column says is then in no table: history is emptied, and made again from the event log, so that it is there
-- when the column is.
TRUNCATE events, admin_audit, kill_switches, protections, phases, risk_limits, positions, quotes, trades,
    executions, orders, sessions, tick_tables, instruments, accounts, firms, projector_progress;
ALTER TABLE admin_audit DROP COLUMN detail;
