//! telemetry: in work.
