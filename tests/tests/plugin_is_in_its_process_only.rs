//! A plugin is loaded into one process and what is forked from it; there its
//! workers and init functions are named like the program's own. What is no
//! plugin is refused with the reason.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, id};

use anyfork::{Error, ErrorKind, Process, args};
use anyfork_tests::births::{Folder, example, serving, succeed};
use anyfork_tests::{Scene, alone, bounded, held, pipe_with, release, template_of, text_of};

#[anyfork::early]
fn preload() {}

#[anyfork::worker]
fn same_name() {}

fn plugin() -> PathBuf {
    example(env!("CARGO_BIN_EXE_plain"), "plugin_of_tests")
}

fn with_plugin() -> Process {
    Process::new().unwrap().require(plugin())
}

fn reported(process: Process, worker: &str) -> String {
    text_of(process.run(worker))
}

fn refused(process: Process, worker: &str) -> Error {
    let launch = process.run(worker);
    bounded("a launch", || launch.blocking()).unwrap_err()
}

/// Whether a process has the plugin in its memory.
fn maps_plugin(pid: u32) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    maps.contains("libplugin_of_tests")
}

#[test]
fn its_functions_are_named_like_the_programs_own() {
    let _alone = alone();
    let template = with_plugin()
        .send_args(["a", "b"])
        .init("plugin_take", ())
        .init("plugin_of_tests::plugin_note", args!["n"]);
    for name in ["plugin_tell", "plugin_of_tests::plugin_tell"] {
        let process = template.fork().init("plugin_note", args!["w"]);
        let process = process.send_fd(pipe_with("text")).send_arg(7);
        let process = process.send_args(args!["x", pipe_with("")]);
        assert_eq!(reported(process, name), "2 taken,n,hook,w text 7 2");
    }
    // Arguments that the plugin's init functions leave are the worker's.
    let process = with_plugin().send_fd(pipe_with("kept")).send_arg(1);
    let process = process.init("plugin_note", args!["n"]);
    assert_eq!(reported(process, "plugin_tell"), "n kept 1 0");
    assert_eq!(
        reported(with_plugin().send_arg("upper"), "plugin_async"),
        "UPPER"
    );
    // The program's own are there as ever.
    release(held(
        template.fork().init("plugin_note", args!["z"]).send_arg(1),
    ));
}

#[test]
fn only_its_process_maps_it() {
    let _alone = alone();
    let scene = Scene::early();
    let template = with_plugin();
    let pid = serving(&template);
    let mut worker = template.fork().run("plugin_hold").blocking().unwrap();
    worker.socket.read_exact(&mut [0]).unwrap();
    assert!(maps_plugin(pid) && maps_plugin(worker.pid()));
    let sibling = Process::new().unwrap().send_arg("x");
    let other = held(sibling.fork());
    for pid in [id(), scene.template(), other.pid(), template_of(&other)] {
        assert!(!maps_plugin(pid), "{pid}");
    }
    release(other);
    let error = refused(sibling.fork(), "plugin_hold");
    assert_eq!(error.kind(), ErrorKind::UnknownWorker, "{error}");
    release(worker);
    drop((template, sibling));
    scene.must_return();
}

#[test]
fn its_workers_end_like_the_programs_own() {
    let _alone = alone();
    for (how, code) in [("0", 0), ("7", 7), ("255", 255), ("panic", 101)] {
        let worker = with_plugin().send_arg(how).run("plugin_end").blocking();
        let exit = worker.unwrap().wait().unwrap();
        assert_eq!(exit.code(), Some(code));
    }
    let pid = reported(with_plugin(), "plugin_starts_more");
    assert_ne!(pid, id().to_string());
}

#[test]
fn its_errors_are_like_the_programs_own() {
    let _alone = alone();
    let scene = Scene::early();
    for (process, worker, kind, text) in [
        (
            with_plugin().init("plugin_note", args!["fail"]),
            "hold",
            ErrorKind::InitFailed,
            "`plugin_of_tests::plugin_note` failed: the plugin's disk is full",
        ),
        (
            with_plugin().init("plugin_note", args!["panic"]).fork(),
            "hold",
            ErrorKind::InitFailed,
            "`plugin_of_tests::plugin_note` panicked: the plugin's disk is full",
        ),
        (
            with_plugin().send_args(["x", "y"]),
            "plugin_tell",
            ErrorKind::BadArgument,
            "parameter `file` (File) of worker `plugin_of_tests::plugin_tell`",
        ),
        (
            with_plugin().init("plugin_note", ()),
            "hold",
            ErrorKind::BadArgument,
            "none for `text` (String)",
        ),
        (
            with_plugin(),
            "same_name",
            ErrorKind::AmbiguousName,
            "`plugin_is_in_its_process_only::same_name`, `plugin_of_tests::same_name`",
        ),
        (
            with_plugin(),
            "plugin_hodl",
            ErrorKind::UnknownWorker,
            "did you mean `plugin_of_tests::plugin_hold`?",
        ),
    ] {
        let error = refused(process, worker);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
    scene.must_return();
}

#[test]
fn it_may_be_required_again() {
    let _alone = alone();
    let process = with_plugin().require(plugin()).fork().require(plugin());
    let process = process.fork().init("plugin_note", args!["n"]);
    let process = process.send_fd(pipe_with("")).send_arg(1);
    assert_eq!(reported(process, "plugin_tell"), "hook,hook,n  1 0");
}

#[test]
fn its_hooks_run_in_every_child() {
    let _alone = alone();
    let template = with_plugin().init("plugin_note", args!["a"]);
    for _ in 0..3 {
        let process = template.fork().send_fd(pipe_with("")).send_arg(1);
        assert_eq!(reported(process, "plugin_tell"), "a,hook  1 0");
    }
    let broken = template.init("plugin_note", args!["break"]);
    let error = refused(broken.fork(), "hold");
    assert_eq!(
        error.exit().and_then(|exit| exit.code()),
        Some(101),
        "{error}"
    );
}

/// The plugin has its own copy of the library, with its own default template.
#[test]
fn its_templates_are_each_processs_own() {
    let _alone = alone();
    let template = with_plugin().init("plugin_starts_some", ());
    for _ in 0..3 {
        reported(template.fork(), "plugin_starts_more");
    }
}

#[test]
fn a_relative_path_is_the_callers() {
    let _alone = alone();
    let here = std::env::current_dir().unwrap();
    let up = "../".repeat(here.components().count() - 1);
    let path = Path::new(&up).join(plugin().strip_prefix("/").unwrap());
    assert!(path.is_relative() && path.exists());
    let process = Process::new().unwrap().require(path);
    assert_eq!(reported(process.send_arg("a"), "plugin_async"), "A");
}

/// Compiles a library of a few lines.
fn library(folder: &Folder, name: &str, source: &str) -> PathBuf {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let (path, code) = (folder.join(name), folder.join("source.rs"));
    fs::write(&code, source).unwrap();
    let mut command = Command::new(rustc);
    command.args(["--edition=2024", "--crate-type=cdylib", "-o"]);
    succeed(command.arg(&path).arg(&code));
    path
}

#[test]
fn what_is_no_plugin_is_refused() {
    let _alone = alone();
    let scene = Scene::early();
    let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), "plugins");
    let text = folder.join("text.so");
    fs::write(&text, "no library").unwrap();
    let other_version = library(
        &folder,
        "version.so",
        "static TABLE: [u64; 8] = [4711, 0, 0, 0, 0, 0, 0, 0];
         #[unsafe(no_mangle)]
         pub extern \"C\" fn anyfork_plugin() -> *const u64 { TABLE.as_ptr() }",
    );
    for (path, reason) in [
        (folder.join("missing.so"), "No such file"),
        ("libno-such-library.so".into(), "No such file"),
        (text, "file too short"),
        ("libm.so.6".into(), "export_plugin!()"),
        ("libc.so.6".into(), "export_plugin!()"),
        (other_version, "version 4711 of the plugin interface"),
    ] {
        let template = Process::new().unwrap().require(&path).send_arg("x");
        for error in [
            refused(template.fork(), "hold"),
            refused(template.fork(), "no_such_worker"),
            refused(Process::new().unwrap().require(&path), "hold"),
            template.prepare().blocking().unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::PluginFailed, "{error}");
            let text = error.to_string();
            assert!(text.contains(reason), "{text}");
            assert!(text.contains(path.to_str().unwrap()), "{text}");
        }
    }
    scene.must_return();
    let error = io::Error::from(refused(
        Process::new().unwrap().require(folder.join("\0")),
        "hold",
    ));
    assert!(error.to_string().contains("plugin"), "{error}");
}
