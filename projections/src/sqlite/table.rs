//! How a collection lies in the file: a table of documents, real columns for indexed scalars, and for each index with an
//! array field a side table with one entry per element.

use std::fmt::Write as _;

use crate::layout::Layout;

/// Everything that has to be made, in order.
pub(super) fn create(table: &Layout) -> String {
    let name = &table.name;
    let columns: String = table.columns.iter().fold(String::new(), |mut text, field| {
        let _ = write!(text, ", f_{field}");
        text
    });
    let mut sql =
        format!("CREATE TABLE {name} (key TEXT NOT NULL PRIMARY KEY, document TEXT NOT NULL{columns});");
    for index in table.spec.indexes {
        let index_name = table.index_name(index);
        let array = table.array_of(index);
        let fields: Vec<String> = (index.fields.iter().filter(|field| Some(**field) != array))
            .map(|field| format!("f_{field}"))
            .collect();
        let fields = fields.join(", ");
        let _ = if array.is_some() {
            write!(
                sql,
                "CREATE TABLE {index_name} (element NOT NULL, {fields}, key TEXT NOT NULL, \
                 PRIMARY KEY (element, {fields}, key)) WITHOUT ROWID;"
            )
        } else {
            write!(sql, "CREATE INDEX {index_name} ON {name} ({fields}, key);")
        };
    }
    sql
}

/// Everything that has to be removed.
pub(super) fn names(table: &Layout) -> Vec<String> {
    let side_tables = table.array_indexes().map(|(index, _)| table.index_name(index));
    side_tables.chain([table.name.clone()]).collect()
}
