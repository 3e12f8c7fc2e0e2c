//! Promises to programs that are built otherwise than this package: the test has
//! Cargo build a package outside of the workspace.

mod aborting_program_reports_why;
mod border_of_a_dylib_is_named;
mod coverage_counts_workers;
mod missing_feature_is_named;
mod statically_linked_program_works;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A package whose one program stands in a file of this one.
struct Package {
    name: &'static str,
    /// The program's file, relative to this package.
    source: &'static str,
    /// Lines of the profile, below `debug = false`.
    profile: &'static str,
}

impl Package {
    /// Builds it in a folder that stays, so that a second run has little to do;
    /// gives what Cargo has printed, and where its output is.
    fn build(&self, configure: impl FnOnce(&mut Command)) -> (Output, PathBuf) {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(self.name);
        fs::create_dir_all(&folder).unwrap();
        let manifest = folder.join("Cargo.toml");
        fs::write(&manifest, self.manifest(here)).unwrap();
        // The same versions as everywhere, and no network.
        fs::copy(here.join("../Cargo.lock"), folder.join("Cargo.lock")).unwrap();

        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--offline"]);
        build.arg("--manifest-path").arg(&manifest);
        build.arg("--target-dir").arg(folder.join("target"));
        configure(&mut build);
        // Cargo takes as long as it takes.
        (build.output().unwrap(), folder.join("target"))
    }

    fn manifest(&self, here: &Path) -> String {
        let Package {
            name,
            source,
            profile,
        } = self;
        let source = here.join(source);
        let anyfork = here.join("../anyfork");
        let (source, anyfork) = (source.display(), anyfork.display());
        format!(
            r#"
[package]
name = "{name}"
edition = "2024"

[[bin]]
name = "{name}"
path = "{source}"

[dependencies]
anyfork = {{ path = "{anyfork}", default-features = false }}

# It is built once. Names of functions are there without debug information.
[profile.dev]
debug = false
{profile}

[workspace]
"#
        )
    }
}
