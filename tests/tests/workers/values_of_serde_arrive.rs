//! `Json` and `Postcard` carry values of serde's types as arguments of workers.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;

use anyfork::{ErrorKind, Json, Postcard, Process};
use anyfork_tests::{bounded, new, text_of};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    number: u32,
    lines: Vec<(String, Option<f32>)>,
}

fn order() -> Order {
    Order {
        number: 7,
        lines: vec![("bolt".into(), Some(0.5)), ("nut".into(), None)],
    }
}

#[anyfork::worker]
fn take(
    mut socket: UnixStream,
    json: Json<Order>,
    short: Postcard<Order>,
    maybe: Option<Json<Vec<u8>>>,
) -> io::Result<()> {
    write!(socket, "{} {:?} {maybe:?}", json.0.number, short.0.lines)
}

#[test]
fn by_the_companion_and_by_name() {
    let lines = r#"7 [("bolt", Some(0.5)), ("nut", None)]"#;
    let checked = take::run(new(), Json(order()), Postcard(order()), Some(Json(vec![1])));
    assert_eq!(text_of(checked), format!("{lines} Some(Json([1]))"));
    let json = r#"{"number": 7, "lines": []}"#;
    let by_name = new().send_arg(json).send_arg(Postcard(order()));
    assert_eq!(text_of(by_name.run(take::NAME)), format!("{lines} None"));
}

#[test]
fn what_is_none_is_named() {
    let refused = |process: Process| {
        let launch = process.run(take::NAME);
        bounded("a launch", || launch.blocking()).unwrap_err()
    };
    for (process, parameter) in [
        (
            new().send_arg("{").send_arg(Postcard(order())),
            "`json` (Json<Order>)",
        ),
        (
            new().send_arg(Json(order())).send_arg("x"),
            "`short` (Postcard<Order>)",
        ),
        (
            new()
                .send_fd(std::fs::File::open("/dev/null").unwrap())
                .send_arg("x"),
            "`json` (Json<Order>)",
        ),
    ] {
        let error = refused(process);
        assert_eq!(error.kind(), ErrorKind::BadArgument, "{error}");
        assert!(error.to_string().contains(parameter), "{error}");
    }
}
