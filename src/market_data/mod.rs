//! market_data/mod: in work.
