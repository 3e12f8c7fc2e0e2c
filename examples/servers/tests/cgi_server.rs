//! The server of CGI scripts follows RFC 3875, streams in both directions, and leaves
//! nothing running.

#[path = "cgi_server/client.rs"]
mod client;
#[path = "cgi_server/ends.rs"]
mod ends;
#[path = "cgi_server/server.rs"]
mod server;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use client::{Client, agent, get, post, text};
use server::{PATH, Server, has_python, until};

/// A limit that no test reaches.
const NEVER: u32 = 1_000_000;

/// Answers with what is posted, as it comes.
const ECHO: &str = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nexec cat\n";

#[test]
fn many_requests_at_a_time() {
    const REQUESTS: usize = 200;
    const CLIENTS: usize = 16;
    let python = has_python();
    let mut server = Server::start("many", &[], NEVER);

    let next = AtomicUsize::new(0);
    let client = || {
        let agent = agent();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            match number % 4 {
                _ if number >= REQUESTS => break,
                1 if python => {
                    let url = format!("{}/echo.py/{number}?of={REQUESTS}", server.url);
                    let page = text(agent.get(url).call());
                    let has = |line: String| page.lines().any(|it| it == line);
                    assert!(has(format!("PATH_INFO=/{number}")), "{page}");
                    assert!(has(format!("QUERY_STRING=of={REQUESTS}")), "{page}");
                }
                3 if python => {
                    let posted = format!("{number} ").repeat(1000);
                    let url = format!("{}/echo.py", server.url);
                    assert_eq!(text(agent.post(url).send(&posted)), posted);
                }
                _ => {
                    let url = format!("{}/hello.sh/{number}?of={REQUESTS}", server.url);
                    let page = text(agent.get(url).call());
                    assert!(page.starts_with("hello from process "), "{page}");
                    let end = format!("\npath /{number}, query of={REQUESTS}\n");
                    assert!(page.ends_with(&end), "{page}");
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(client);
        }
    });

    server.until_idle();
    server.end();
    assert_eq!(server.stderr(), "");
}

#[test]
fn much_is_streamed_both_ways_at_once() {
    let server = Server::start("much", &[("echo.sh", ECHO)], NEVER);
    let posted: Vec<u8> = (0..10 << 20).map(|it: u32| (it >> 8 ^ it) as u8).collect();
    for script in ["echo.sh", "echo.py"] {
        if script == "echo.py" && !has_python() {
            continue;
        }
        // More than all buffers on the way can hold: it only arrives if both
        // directions move.
        let mut client = Client::new(&server);
        let mut upload = client.stream.get_ref().try_clone().expect("a duplicate");
        let head = post(script, posted.len());
        let mut came = Vec::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                upload.write_all(head.as_bytes()).expect("send the head");
                upload.write_all(&posted).expect("send the body");
            });
            assert_eq!(client.status(), 200);
            came = client.rest().expect("the page is complete");
        });
        assert!(came == posted, "{} bytes came from {script}", came.len());
    }
    server.until_idle();
}

#[test]
fn a_page_begins_before_the_request_has_ended() {
    let server = Server::start("begins", &[("echo.sh", ECHO)], NEVER);
    for script in ["echo.sh", "echo.py"] {
        if script == "echo.py" && !has_python() {
            continue;
        }
        let mut client = Client::new(&server);
        client.send(&post(script, 11));
        assert_eq!(client.status(), 200);
        client.send("hello ");
        client.until_it_says("hello ");
        client.send("world");
        assert_eq!(client.rest().expect("the page is complete"), b"world");
    }
    server.until_idle();
}

#[test]
fn a_script_decides_about_the_header() {
    let scripts = [
        (
            "status.sh",
            r"printf 'status:  404 Nothing here\nContent-Type: text/x\nX-A: 1\nX-A: 2\n\nnothing\n'",
        ),
        (
            "crlf.sh",
            r"printf 'Content-Type:text/x\r\nConnection: close\r\n\r\none\r\n\r\ntwo\n'",
        ),
        (
            "slowly.sh",
            r"for it in C ontent-Type : ' text/x' '\n' '\n' page; do printf $it; done",
        ),
        ("empty.sh", r"printf 'Status: 204\n\n'"),
        (
            "length.sh",
            r"printf 'Content-Type: text/x\nContent-Length: 4\n\npage'",
        ),
    ];
    let server = Server::start("header", &scripts, NEVER);
    let get = |path: &str| server.get(path);

    let (status, fields, page) = get("status.sh");
    assert_eq!((status, page.as_str()), (404, "nothing\n"));
    assert_eq!(fields.get_all("x-a").iter().count(), 2);
    assert_eq!(fields["content-type"], "text/x");
    assert!(!fields.contains_key("status"));

    let (status, fields, page) = get("crlf.sh");
    assert_eq!((status, page.as_str()), (200, "one\r\n\r\ntwo\n"));
    assert_eq!(fields["content-type"], "text/x");
    assert!(!fields.contains_key("connection"));

    let (status, fields, page) = get("slowly.sh");
    assert_eq!((status, page.as_str()), (200, "page"));
    assert_eq!(fields["content-type"], "text/x");

    let (status, _, page) = get("empty.sh");
    assert_eq!((status, page.as_str()), (204, ""));

    let (status, fields, page) = get("length.sh");
    assert_eq!((status, page.as_str()), (200, "page"));
    assert_eq!(fields["transfer-encoding"], "chunked");
    assert!(!fields.contains_key("content-length"));
    server.until_idle();
}

#[test]
fn redirects_are_local_or_the_clients() {
    let scripts = [
        ("away.sh", r"printf 'Location: http://example.com/\n\n'"),
        (
            "other.sh",
            r"printf 'Status: 303 See Other\nLocation: /hello.sh\n\n'",
        ),
        // What it does after its header, it finishes.
        (
            "local.sh",
            r"printf 'Location: /show.sh/path?a=b\n\n'; cat >posted",
        ),
        (
            "show.sh",
            r#"printf "Content-Type: text/x\n\n$REQUEST_METHOD $PATH_INFO $QUERY_STRING $CONTENT_LENGTH"; cat"#,
        ),
        ("loop.sh", r"printf 'Location: /loop.sh\n\n'"),
    ];
    let server = Server::start("redirects", &scripts, NEVER);

    let (status, fields, _) = server.get("away.sh");
    assert_eq!(
        (status, &fields["location"] == "http://example.com/"),
        (302, true)
    );
    let (status, fields, _) = server.get("other.sh");
    assert_eq!((status, &fields["location"] == "/hello.sh"), (303, true));

    let url = format!("{}/local.sh", server.url);
    assert_eq!(text(agent().post(url).send("body")), "GET /path a=b ");
    let posted = fs::read_to_string(server.scripts.join("posted"));
    assert_eq!(posted.expect("the script has finished"), "body");

    assert_eq!(server.get("loop.sh").0, 508);
    server.until_idle();
}

#[test]
fn the_environment_is_the_requests() {
    // What the script was started with, without what the shell adds.
    let show = r"printf 'Content-Type: text/plain\n\n'; tr '\0' '\n' </proc/$$/environ; pwd";
    let server = Server::start("environment", &[("show.sh", show)], NEVER);
    let dir = server.scripts.display().to_string();
    let mut client = Client::new(&server);
    client.send(
        "POST /sho%77.sh//a%20b/?x=%20&y HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\
         Content-Type: text/x\r\nX-Twice: 1\r\nCookie: a=1\r\nX-Twice: 2\r\nCookie: b=2\r\n\
         Authorization: Basic Zm9v\r\nProxy: evil\r\nX_Spoof: evil\r\nConnection: close\r\n\r\nabc",
    );
    assert_eq!(client.status(), 200);
    let page = String::from_utf8(client.rest().expect("a page")).expect("text");
    let mut lines: Vec<_> = page.lines().collect();
    assert_eq!(lines.pop(), Some(dir.as_str()), "the script's directory");
    let variables: BTreeMap<_, _> = lines.iter().filter_map(|it| it.split_once('=')).collect();

    let translated = format!("{dir}//a b/");
    let port = server.address().rsplit(':').next().expect("a port");
    let expected = BTreeMap::from([
        ("CONTENT_LENGTH", "3"),
        ("CONTENT_TYPE", "text/x"),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("HTTP_COOKIE", "a=1; b=2"),
        ("HTTP_HOST", "example.com"),
        ("HTTP_X_TWICE", "1, 2"),
        ("PATH", PATH),
        ("PATH_INFO", "//a b/"),
        ("PATH_TRANSLATED", &translated),
        ("QUERY_STRING", "x=%20&y"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("REQUEST_METHOD", "POST"),
        ("SCRIPT_NAME", "/show.sh"),
        ("SERVER_NAME", "127.0.0.1"),
        ("SERVER_PORT", port),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_SOFTWARE", "cgi_server/1.0"),
    ]);
    assert_eq!(variables, expected);

    // Without a body, a path and a query.
    let mut client = Client::new(&server);
    client.send("GET /show.sh HTTP/1.0\r\n\r\n");
    assert_eq!(client.status(), 200);
    let mut page = String::new();
    client.stream.read_to_string(&mut page).expect("a page");
    assert!(page.contains("SERVER_PROTOCOL=HTTP/1.0\n"), "{page}");
    assert!(page.contains("QUERY_STRING=\n"), "{page}");
    for absent in ["CONTENT_", "PATH_", "HTTP_"] {
        assert!(!page.lines().any(|it| it.starts_with(absent)), "{page}");
    }
    server.until_idle();
}

#[test]
fn no_path_leads_out_of_the_folder() {
    let server = Server::start("paths", &[("show.sh", ECHO)], NEVER);
    let above = server.scripts.parent().expect("a folder").join("secret.sh");
    fs::copy(server.scripts.join("hello.sh"), &above).expect("copy a script");
    for (path, status) in [
        ("../secret.sh", 400),
        ("%2e%2e/secret.sh", 400),
        ("%2E./secret.sh", 400),
        ("..%2fsecret.sh", 400),
        ("show.sh/../../secret.sh", 400),
        ("show.sh/%2e%2e%2fsecret.sh", 400),
        ("./show.sh", 400),
        ("show.sh%00", 400),
        ("%2fbin%2fsh", 400),
        ("/bin/sh", 404),
        ("", 404),
        ("..secret.sh", 404),
        ("show.sh/..x", 200),
    ] {
        let mut client = Client::new(&server);
        client.send(&get(path));
        assert_eq!(client.status(), status, "{path}");
    }
    server.until_idle();
}

#[test]
fn what_is_wrong_is_told_by_the_status() {
    let scripts = [
        ("interpreter.sh", "#!/no/such/interpreter\n"),
        ("format.sh", "neither a program nor a script\n"),
        ("dies.sh", "exit 3"),
        ("crashes.sh", "kill -s SEGV $$"),
        ("half.sh", r"printf 'Content-Type: text/plain\n'"),
        ("none.sh", r"printf '\npage\n'"),
        ("other.sh", r"printf 'X-Field: 1\n\npage\n'"),
        ("colon.sh", r"printf 'Content-Type\n\n'"),
        ("name.sh", r"printf 'Content-Type: a\nSp ace: 1\n\n'"),
        ("twice.sh", r"printf 'Content-Type: a\nContent-Type: b\n\n'"),
        ("status.sh", r"printf 'Status: fine\n\n'"),
        ("continue.sh", r"printf 'Status: 100\n\n'"),
        ("endless.sh", "while :; do echo 'X-Field: again'; done"),
    ];
    let server = Server::start("wrong", &scripts, NEVER);
    fs::write(server.scripts.join("plain.txt"), "text").expect("write a file");
    fs::create_dir(server.scripts.join("folder")).expect("make a folder");

    for (script, _) in scripts {
        assert_eq!(server.get(script).0, 500, "{script}");
    }
    for (path, status) in [
        ("missing.sh", 404),
        ("missing.sh/path", 404),
        (&*"long".repeat(100), 404),
        ("plain.txt", 403),
        ("folder", 403),
        ("folder/hello.sh", 403),
        ("hello.sh", 200),
    ] {
        assert_eq!(server.get(path).0, status, "{path}");
    }

    for (field, status) in [
        (format!("X-Big: {}", "x".repeat(200_000)), 431),
        ("Transfer-Encoding: chunked".to_owned(), 411),
    ] {
        let mut client = Client::new(&server);
        client.send(&format!(
            "POST /hello.sh HTTP/1.1\r\nHost: localhost\r\n{field}\r\n\r\n"
        ));
        assert_eq!(client.status(), status);
    }

    for end in [
        "dies.sh: exit status: 3\n",
        "crashes.sh: signal: 11 (SIGSEGV)",
    ] {
        until(end, || server.stderr().contains(end));
    }
    server.until_idle();
}

#[test]
fn a_script_is_not_made_to_wait() {
    let scripts = [
        // Reads nothing of what is posted.
        ("deaf.sh", r"printf 'Content-Type: a\n\nanswer'"),
        // Is not to notice that nobody reads the page.
        (
            "finish.sh",
            r"printf 'Content-Type: a\n\n'; head -c 1000000 /dev/zero && : >finished",
        ),
        // Says that it is not well.
        (
            "says.sh",
            r"echo 'not well' >&2; printf 'Content-Type: a\n\nanswer'",
        ),
        // Leaves a process behind, which goes with it.
        (
            "leaves.sh",
            r"printf 'Content-Type: a\n\nanswer'; sleep 1000000 >/dev/null 2>&1 &",
        ),
    ];
    let mut server = Server::start("wait", &scripts, NEVER);
    let posted = vec![b'x'; 1 << 20];
    let url = format!("{}/deaf.sh", server.url);
    assert_eq!(text(agent().post(url).send(&posted)), "answer");

    let head = agent().head(format!("{}/finish.sh", server.url)).call();
    let head = head.expect("an answer");
    assert_eq!(head.headers()["content-type"], "a");
    assert!(!head.headers().contains_key("content-length"));
    assert!(server.scripts.join("finished").exists());

    for script in ["says.sh", "leaves.sh"] {
        assert_eq!(server.get(script).2, "answer");
    }
    server.until_idle();
    server.end();
    assert_eq!(server.stderr(), "not well\n");
}
