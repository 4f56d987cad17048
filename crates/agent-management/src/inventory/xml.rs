//! The JSON document as XML: an object is an element with one element for each field, a list one with `item`s, what is
//! null is left out.

use serde_json::Value;

pub(super) fn document(root: &str, value: &Value) -> String {
    let mut text = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n".to_owned();
    element(&mut text, root, value, 0);
    text
}

fn element(text: &mut String, name: &str, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    let open = |text: &mut String| text.push_str(&format!("{indent}<{name}>\n"));
    let close = |text: &mut String| text.push_str(&format!("{indent}</{name}>\n"));
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            open(text);
            for (field, value) in fields {
                element(text, field, value, depth + 1);
            }
            close(text);
        }
        Value::Array(items) if items.is_empty() => text.push_str(&format!("{indent}<{name}/>\n")),
        Value::Array(items) => {
            open(text);
            for item in items {
                element(text, "item", item, depth + 1);
            }
            close(text);
        }
        Value::String(words) => {
            text.push_str(&format!("{indent}<{name}>{}</{name}>\n", escaped(words)));
        }
        Value::Bool(_) | Value::Number(_) => text.push_str(&format!("{indent}<{name}>{value}</{name}>\n")),
    }
}

/// Text as XML 1.0 can have it.
fn escaped(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '&' => text.push_str("&amp;"),
            '\t' | '\n' | '\r' => text.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => text.push('\u{fffd}'),
            c => text.push(c),
        }
    }
    text
}
