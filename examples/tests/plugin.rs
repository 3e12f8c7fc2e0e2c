//! The host runs the plugin's workers, or says why it cannot.

mod support;

use std::process::{Command, Output};

fn host(argument: &str) -> Output {
    let host = support::example("plugin_host");
    let output = Command::new(host).arg(argument).output();
    output.expect("run plugin_host")
}

#[test]
fn the_plugin_s_worker_runs() {
    let plugin = support::example("libplugin.so");
    let output = host(plugin.to_str().expect("a path in UTF-8"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    assert_eq!(output.stdout, b"HELLO!\nWORLD!\n");
}

#[test]
fn what_is_no_plugin_is_refused() {
    for (library, reason) in [
        (
            "/no/such/plugin.so",
            "cannot load the plugin `/no/such/plugin.so`",
        ),
        ("libm.so.6", "it is no plugin of anyfork"),
    ] {
        let output = host(library);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr.contains("PluginFailed") && stderr.contains(reason),
            "{stderr}"
        );
    }
}
