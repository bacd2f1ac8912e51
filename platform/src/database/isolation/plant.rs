//! Rows with values that are recognised wherever they turn up, in every table.

use sqlx::{AssertSqlSafe, PgPool, Row};
use uuid::Uuid;

/// A number that nothing in a catalog is by chance.
const NUMBER: i64 = 987_654_321;

/// Whose rows were planted, and by what they are known.
pub(super) struct Planted {
    pub(super) organization: Uuid,
    text: String,
    pub(super) id: Uuid,
    needles: Vec<String>,
    /// A large object with the text in it.
    pub(super) large_object: i64,
}

/// What tables are there to be filled, and with what types of columns.
const COLUMNS: &str = "
    select format('%I.%I', n.nspname, c.relname) as relation, quote_ident(a.attname) as name,
        t.typname::text as type, a.attnotnull
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    join pg_type t on t.oid = a.atttypid
    where n.nspname = 'flowmeter' and c.relkind in ('r', 'p') and c.relname <> 'migrations'
        and a.attgenerated = '' and a.attidentity = ''
    order by c.oid, a.attnum";

/// What would not take the values.
const CHECKS: &str = "
    select format('alter table %I.%I drop constraint %I', n.nspname, c.relname, k.conname)
    from pg_constraint k
    join pg_class c on c.oid = k.conrelid
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'flowmeter' and k.contype = 'c'";

impl Planted {
    /// Fills every table of schema `flowmeter`, one that this code has never heard of
    /// included, and gathers statistics of them.
    pub(super) async fn everywhere(owner: &PgPool) -> Self {
        let (organization, id) = (Uuid::new_v4(), Uuid::new_v4());
        let text = format!("planted-{}", Uuid::new_v4().simple());
        let hex = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut planted = Self {
            needles: vec![
                organization.to_string(),
                id.to_string(),
                text.clone(),
                hex,
                NUMBER.to_string(),
            ],
            organization,
            text,
            id,
            large_object: 0,
        };
        let mut tables: Vec<(String, Vec<(String, String)>)> = Vec::new();
        for row in sqlx::query(COLUMNS).fetch_all(owner).await.unwrap() {
            let relation: String = row.get("relation");
            if tables.last().is_none_or(|(name, _)| *name != relation) {
                tables.push((relation.clone(), Vec::new()));
            }
            let name: String = row.get("name");
            let value = planted.value(&name, row.get("type"));
            match (value, tables.last_mut()) {
                (Some(value), Some((_, columns))) => columns.push((name, value)),
                _ if row.get("attnotnull") => panic!("{relation}.{name}: a type to plant is new"),
                _ => {}
            }
        }
        assert!(!tables.is_empty());
        let checks: Vec<String> = sqlx::query_scalar(CHECKS).fetch_all(owner).await.unwrap();
        for drop in checks {
            sqlx::raw_sql(AssertSqlSafe(drop))
                .execute(owner)
                .await
                .unwrap();
        }
        for (relation, columns) in tables {
            let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
            // Three alike, for statistics to find them common; one, where a key is unique.
            let insert = format!(
                "insert into {relation} ({}) select {} from generate_series(1, 3) on conflict do nothing",
                names.join(", "),
                values.join(", ")
            );
            for statement in [insert, format!("analyze {relation}")] {
                let done = sqlx::raw_sql(AssertSqlSafe(statement.clone()))
                    .execute(owner)
                    .await;
                assert!(done.is_ok(), "{statement}: {done:?}");
            }
        }
        planted.large_object =
            sqlx::query_scalar("select lo_from_bytea(0, convert_to($1, 'UTF8'))::bigint")
                .bind(&planted.text)
                .fetch_one(owner)
                .await
                .unwrap();
        planted
    }

    /// What to plant in a column, as SQL.
    fn value(&self, column: &str, data_type: &str) -> Option<String> {
        let (text, organization, id) = (&self.text, self.organization, self.id);
        Some(match data_type {
            "uuid" if column == "organization_id" => format!("'{organization}'"),
            "uuid" => format!("'{id}'"),
            "text" | "varchar" | "bpchar" => format!("'{text}'"),
            "_text" => format!("array['{text}']"),
            "json" | "jsonb" => format!("'{{\"planted\": \"{text}\"}}'"),
            "bytea" => format!("convert_to('{text}', 'UTF8')"),
            "timestamptz" => "now()".to_owned(),
            "date" => "current_date".to_owned(),
            "bool" => "true".to_owned(),
            "int2" => "1".to_owned(),
            "interval" => "interval '1 day'".to_owned(),
            "int4" | "int8" | "numeric" | "float4" | "float8" => NUMBER.to_string(),
            _ => return None,
        })
    }

    /// Whether anything planted shows in `text`.
    pub(super) fn shows_in(&self, text: &str) -> bool {
        self.needles.iter().any(|needle| text.contains(needle))
    }
}
