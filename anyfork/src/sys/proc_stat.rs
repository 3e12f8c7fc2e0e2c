//! Fields of `/proc/PID/stat` (proc(5)).
//! RUNS IN: any

/// A field of a `stat` file by the number that proc(5) gives it, from 3 on.
pub(crate) fn stat_field(stat: &str, number: usize) -> Option<u64> {
    // The second field may hold spaces and parentheses, the rest may not.
    let fields = stat.rsplit(") ").next()?;
    fields.split_whitespace().nth(number - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "17 (a) b (c)) S 1 2 3 4 5 64 7 8 9 10 11 12 13 14 15 16 3 0";
        assert_eq!(stat_field(stat, 9), Some(64));
        assert_eq!(stat_field(stat, 20), Some(3));
        assert_eq!(stat_field("", 20), None);
    }
}
