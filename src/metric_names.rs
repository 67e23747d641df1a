//! metric_names: in work.
