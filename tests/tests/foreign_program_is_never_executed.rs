//! anyfork in a library that another program has loaded, as Python and Apache load theirs:
//! that program has no template, and executed as one, it would run as itself. So it is
//! refused at once, with what to do, and never executed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyfork_tests::births::{Folder, example, succeed};

/// A program that knows nothing of anyfork. It says each time that it runs.
const HOST: &str = r#"
use std::ffi::{CString, c_char, c_int, c_void};

unsafe extern "C" {
    fn dlopen(path: *const c_char, how: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

fn main() {
    println!("the host runs");
    let path = CString::new(std::env::args().nth(1).expect("a library")).unwrap();
    let library = unsafe { dlopen(path.as_ptr(), 2) };
    assert!(!library.is_null());
    let tell = unsafe { dlsym(library, c"tell_early".as_ptr()) };
    assert!(!tell.is_null());
    let tell: extern "C" fn() = unsafe { std::mem::transmute(tell) };
    tell();
}
"#;

fn compile(folder: &Path, configure: impl FnOnce(&mut Command)) -> PathBuf {
    let (source, host) = (folder.join("host.rs"), folder.join("host"));
    fs::write(&source, HOST).unwrap();
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc
        .args(["--edition", "2024", "-o"])
        .arg(&host)
        .arg(&source);
    configure(&mut rustc);
    succeed(&mut rustc);
    host
}

#[test]
fn a_library_in_it_is_refused() {
    let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), "foreign");
    let host = compile(&folder, |_| {});
    let library = example(env!("CARGO_BIN_EXE_bare"), "library");
    let text = succeed(Command::new(&host).arg(&library));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert_eq!(lines[0], "the host runs");
    let reason = format!(
        "ExecFailed: anyfork is in the library `{}`, which the program `{}` has loaded",
        library.display(),
        host.canonicalize().unwrap().display()
    );
    for what in ["new", "new_exec", "command"] {
        let line = lines.iter().find(|it| it.starts_with(&format!("{what}: ")));
        let line = line.unwrap_or_else(|| panic!("{what}: {text}"));
        assert!(line.contains(&reason), "{line}");
        assert!(line.contains("`Process::exec_program`"), "{line}");
    }
    assert!(lines.iter().any(|it| it.starts_with("early: ")), "{text}");
}

/// The same library, where the loader loads it before the program begins: what is executed
/// has it again, and becomes a template.
#[test]
fn a_library_that_it_is_linked_with_is_not() {
    let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), "linked");
    let library = example(env!("CARGO_BIN_EXE_bare"), "library");
    let linked = compile(&folder, |rustc| {
        let library = library.display();
        // Nothing of it is used, so the linker would leave it out.
        rustc.arg("-C").arg("link-arg=-Wl,--no-as-needed");
        rustc.arg("-C").arg(format!("link-arg={library}"));
    });
    let text = succeed(Command::new(&linked).arg(&library));
    assert!(text.starts_with("the host runs\n"), "{text}");
    assert_eq!(text.matches("the host runs").count(), 1, "{text}");
    assert!(
        text.contains("new: None\nnew_exec: None\ncommand: None\n"),
        "{text}"
    );

    let host = compile(&folder, |_| {});
    let preloaded = succeed(
        Command::new(&host)
            .arg(&library)
            .env("LD_PRELOAD", &library),
    );
    assert_eq!(preloaded, text);
}
