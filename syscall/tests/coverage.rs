//! The table and its page.

use std::path::Path;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_page_is_fresh() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../COVERAGE.md");
        let page = syscall::coverage::page();
        if std::env::var_os("HULL_UPDATE").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == page,
            "COVERAGE.md is stale: HULL_UPDATE=1 cargo test -p syscall --test coverage"
        );
    }

    #[test]
    fn rows_ascend_and_a_handler_goes_with_its_support() {
        let table = syscall::table::TABLE;
        assert!(table.windows(2).all(|w| w[0].number < w[1].number));
        for entry in table {
            let absent = matches!(entry.support, syscall::table::Support::Absent(_));
            assert_eq!(entry.call.is_none(), absent, "{}", entry.name);
        }
    }
}
