//! admin/mod: in work.
