-- What an older build wrote lacks what its tables did not have: whether accounts are enabled, what an audited deed asked
-- for. History is emptied, and made again from the event log.
TRUNCATE events, admin_audit, kill_switches, protections, phases, risk_limits, positions, quotes, trades,
    executions, orders, sessions, tick_tables, instruments, accounts, firms, projector_progress;
