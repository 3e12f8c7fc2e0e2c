//! Nothing is left running: neither a script nor a process that a script has started.

use nix::sys::signal::Signal;

use crate::NEVER;
use crate::client::{Client, get, post};
use crate::server::{Server, until};

/// Prints a page that does not end, once it has started another process.
const SLOW: &str = "#!/bin/sh
printf 'Content-Type: text/plain\\n\\n'
sleep 1000000 &
echo started
wait
";

/// The same without a page.
const SILENT: &str = "#!/bin/sh\nsleep 1000000 &\nwait\n";

#[test]
fn the_limit_ends_a_script_and_all_that_it_started() {
    let scripts = [("slow.sh", SLOW), ("silent.sh", SILENT)];
    let server = Server::start("limit", &scripts, 1);
    assert_eq!(server.get("silent.sh").0, 504);
    server.until_idle();

    // On a busy machine the limit may come before the page has begun.
    let mut client = loop {
        let mut client = Client::new(&server);
        client.send(&get("slow.sh"));
        if client.status() == 200 && client.chunk().is_ok_and(|it| it == b"started\n") {
            break client;
        }
    };
    client.rest().expect_err("the page breaks off");
    server.until_idle();
    until("the limit is told", || {
        server.stderr().contains("silent.sh: timed out\n")
    });
}

#[test]
fn a_script_goes_with_its_client() {
    let scripts = [("slow.sh", SLOW), ("silent.sh", SILENT)];
    let server = Server::start("client", &scripts, NEVER);
    let two = || server.running_scripts().len() == 2;

    let mut client = Client::new(&server);
    client.send(&get("slow.sh"));
    assert_eq!(client.status(), 200);
    client.until_it_says("started\n");
    until("the script and its child run", two);
    drop(client);
    server.until_idle();

    // Before there is a page.
    let mut client = Client::new(&server);
    client.send(&get("silent.sh"));
    until("the script and its child run", two);
    drop(client);
    server.until_idle();

    // Before all is sent.
    let mut client = Client::new(&server);
    client.send(&post("silent.sh", 100));
    client.send("a part of it");
    until("the script and its child run", two);
    drop(client);
    server.until_idle();
}

#[test]
fn ctrl_c_ends_all_scripts() {
    let mut server = Server::start("ends", &[("slow.sh", SLOW)], NEVER);
    let mut clients: Vec<_> = (0..4).map(|_| Client::new(&server)).collect();
    for client in &mut clients {
        client.send(&get("slow.sh"));
        assert_eq!(client.status(), 200);
        client.until_it_says("started\n");
    }
    until("the scripts and their children run", || {
        server.running_scripts().len() == 8
    });
    server.end();
    for client in &mut clients {
        client.rest().expect_err("the page breaks off");
    }
}

#[test]
fn no_script_outlives_a_killed_server() {
    let sleep = r"printf 'Content-Type: a\n\n'; exec sleep 1000000";
    let mut server = Server::start("killed", &[("sleep.sh", sleep)], NEVER);
    let mut client = Client::new(&server);
    client.send(&get("sleep.sh"));
    assert_eq!(client.status(), 200);
    server.signal(Signal::SIGKILL);
    assert!(!server.wait().success());
    server.until_all_are_gone();
}
