//! Settings: flags, environment, and files, all from the input. No secret gets out.
#![no_main]

use std::io;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use trading_engine::config::{Config, FileText, Secret, Sources, listing};

/// Stands in the environment as a secret and is nowhere else.
const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Lines: NAME=VALUE of the environment, --NAME=VALUE, then a line of dashes and the files' text.
    let (said, file) = text.split_once("\n---\n").unwrap_or((text, ""));
    let said: Vec<(&str, &str)> = said.lines().filter_map(|line| line.split_once('=')).collect();
    let find = |wanted: &str| said.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    let told = Config::load(Sources {
        flag: &|name| find(&format!("--{name}")).map(Into::into),
        environment: &|name| match name {
            "JWT_SECRET" => Some(SECRET.into()),
            "REDIS_URL" => Some(format!("redis://te:{}{SECRET}@cache", find(name)?).into()),
            _ => find(name).map(Into::into),
        },
        read_file: &|path: &Path| {
            if path == Path::new("nowhere") {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok(FileText { text: Secret::new(file.into()), is_open_to_all: true })
        },
    });
    let told = match told {
        Ok(loaded) => format!("{:?}{}{:?}", loaded.config, listing(&loaded.effective), loaded.warnings),
        Err(problems) => problems.iter().map(|problem| format!("{problem}{problem:?}")).collect(),
    };
    assert!(!told.contains(SECRET) || text.contains("hunter2"), "{told}");
});
