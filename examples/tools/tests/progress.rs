//! The example compresses files and prints a line for each; Ctrl-C leaves neither
//! incomplete files nor processes behind.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::read::GzDecoder;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("make a folder");
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("read a folder");
    let names = entries.map(|entry| entry.expect("read a folder").file_name());
    let mut names: Vec<_> = names.map(|it| it.into_string().expect("text")).collect();
    names.sort_unstable();
    names
}

#[test]
fn each_file_is_compressed() {
    let folder = folder("progress");
    let bytes = |number: u8| vec![number; usize::from(number) * 100_000];
    let paths: Vec<_> = (0..5)
        .map(|number| folder.join(format!("{number}")))
        .collect();
    for (number, path) in (0..).zip(&paths) {
        fs::write(path, bytes(number)).expect("write a file");
    }
    let output = Command::new(support::example("progress"))
        .args(&paths)
        .arg(folder.join("missing"))
        .output()
        .expect("run the example");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(text.lines().count(), 6, "{text}");
    assert!(
        text.contains("missing: No such file or directory"),
        "{text}"
    );
    for (number, path) in (0..).zip(&paths) {
        let path = path.with_extension("gz");
        let whole = fs::read(&path).expect("a compressed file");
        let line = format!(
            "{}: {} bytes are {}",
            path.display(),
            bytes(number).len(),
            whole.len()
        );
        assert!(text.lines().any(|it| it == line), "{line}: {text}");
        let mut read = Vec::new();
        let decoded = GzDecoder::new(&whole[..]).read_to_end(&mut read);
        decoded.expect("a whole file");
        assert!(read == bytes(number));
    }
    assert_eq!(names(&folder).len(), 10);
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let folder = folder("progress_ends");
    let endless = folder.join("endless");
    mkfifo(&endless, Mode::S_IRWXU).expect("make a fifo");
    let mut child = Command::new(support::example("progress"))
        .arg(&endless)
        .stdout(Stdio::piped())
        .spawn()
        .expect("run the example");
    // Opened once the call has opened its end.
    let fifo = fs::OpenOptions::new().write(true).open(&endless);
    let fifo = fifo.expect("open the fifo");
    while !folder.join("endless.gz.part").exists() {
        std::thread::yield_now();
    }
    let pid = Pid::from_raw(child.id().cast_signed());
    kill(pid, Signal::SIGINT).expect("signal the example");
    let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let lines: io::Result<Vec<_>> = stdout.lines().collect();
    assert_eq!(lines.expect("read"), [""; 0]);
    assert_eq!(child.wait().expect("wait").code(), Some(130));
    let kind = fs::metadata(&endless)
        .expect("the fifo is there")
        .file_type();
    assert!(kind.is_fifo());
    assert_eq!(names(&folder), ["endless"]);
    // Nobody has its other end.
    assert_eq!(
        nix::unistd::write(&fifo, b"x"),
        Err(nix::errno::Errno::EPIPE)
    );
}
