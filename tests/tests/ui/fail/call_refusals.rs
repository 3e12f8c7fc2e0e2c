//! What a function that is called cannot be, or have.

#[anyfork::call]
fn generic<T: Default>(_number: u8) {
    drop(T::default());
}

#[anyfork::call]
fn constant<const N: usize>() {}

#[anyfork::call]
fn clause()
where
    String: Clone,
{
}

struct Server;

impl Server {
    #[anyfork::call]
    fn serve(&self, _port: u16) {}
}

#[anyfork::call]
fn references(_text: &str, _bytes: &'static [u8], _path: &std::path::Path, _number: &mut u32) {}

#[anyfork::call]
fn inside(_maybe: Option<&str>, _list: Vec<(u8, &'static str)>) {}

#[anyfork::call]
fn lifetimes(_text: std::borrow::Cow<'_, str>, _fine: std::borrow::Cow<'static, str>) {}

#[anyfork::call]
fn reference_back() -> &'static str {
    ""
}

#[anyfork::call]
fn reference_inside_back() -> Result<u8, &'static str> {
    Ok(1)
}

#[anyfork::call]
fn implied(_text: impl Into<String>, _maybe: Option<impl Into<String>>) {}

#[anyfork::call]
fn implied_back() -> impl Iterator<Item = u8> {
    0..3
}

#[anyfork::call]
fn never() -> ! {
    loop {}
}

#[anyfork::call]
#[anyfork::worker]
fn twice() {}

#[anyfork::init]
#[anyfork::call]
fn twice_the_other_way() {}

#[anyfork::call]
#[anyfork::call(name = "again")]
fn again() {}

#[anyfork::call]
unsafe fn not_safe() {}

#[anyfork::call]
extern "C" fn foreign() {}

#[anyfork::call(nmae = "x", text_errors = true, flavor = "multi_thread")]
fn keys() {}

#[anyfork::call]
fn conditional(#[cfg(test)] _number: u8) {}

#[anyfork::call]
struct NoFunction;

fn main() {}
