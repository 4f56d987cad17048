//! An interface as text.
//!
//! Every comment stands before the member it is about, those of its fields as a list: a comment inside the parentheses
//! is good Varlink, and the parser of systemd before 257 refuses it.

use std::fmt::Write as _;

use zlink::idl::{Comment, CustomType, Field, Interface};

/// Writes an interface in Varlink's interface language.
#[must_use]
pub fn text(interface: &Interface<'_>) -> String {
    let mut out = String::new();
    comments(&mut out, interface.comments());
    line(&mut out, format_args!("interface {}", interface.name()));
    for method in interface.methods() {
        out.push('\n');
        comments(&mut out, method.comments());
        documented(&mut out, method.inputs().chain(method.outputs()));
        let (inputs, outputs) = (fields(method.inputs(), ", "), fields(method.outputs(), ", "));
        line(&mut out, format_args!("method {}({inputs}) -> ({outputs})", method.name()));
    }
    for custom in interface.custom_types() {
        out.push('\n');
        custom_type(&mut out, custom);
    }
    for error in interface.errors() {
        out.push('\n');
        comments(&mut out, error.comments());
        documented(&mut out, error.fields());
        line(&mut out, format_args!("error {} ({})", error.name(), fields(error.fields(), ", ")));
    }
    out
}

fn custom_type(out: &mut String, custom: &CustomType<'_>) {
    let members = match custom {
        CustomType::Object(object) => {
            comments(out, object.comments());
            documented(out, object.fields());
            fields(object.fields(), ",\n    ")
        }
        CustomType::Enum(values) => {
            comments(out, values.comments());
            for value in values.variants() {
                about(out, value.name().as_str(), value.comments());
            }
            let names: Vec<_> = values.variants().map(|value| value.name().as_str()).collect();
            names.join(",\n    ")
        }
    };
    line(out, format_args!("type {} (\n    {members}\n)", custom.name()));
}

fn fields<'a>(fields: impl Iterator<Item = &'a Field<'a>>, separator: &str) -> String {
    let fields: Vec<_> = fields.map(|field| format!("{}: {}", field.name(), field.ty())).collect();
    fields.join(separator)
}

fn documented<'a>(out: &mut String, fields: impl Iterator<Item = &'a Field<'a>>) {
    for field in fields {
        about(out, field.name().as_str(), field.comments());
    }
}

fn about<'a>(out: &mut String, name: &str, comments: impl Iterator<Item = &'a Comment<'a>>) {
    let words: Vec<_> = comments.map(|comment| comment.content().trim()).collect();
    if !words.is_empty() {
        line(out, format_args!("#   {name}: {}", words.join(" ")));
    }
}

fn comments<'a>(out: &mut String, comments: impl Iterator<Item = &'a Comment<'a>>) {
    for comment in comments {
        line(out, format_args!("# {}", comment.content().trim()));
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}
