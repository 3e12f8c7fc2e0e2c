//! Types as text, for messages and documentation: as people write them.
//! RUNS IN: the compiler

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;

/// The text of a type: `Option<u32>`, where `to_string` gives `Option < u32 >`.
pub(crate) fn text(tokens: impl ToTokens) -> String {
    let mut text = String::new();
    write(tokens.to_token_stream(), &mut text);
    text
}

fn write(tokens: TokenStream, text: &mut String) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::None => ("", ""),
                };
                if !open.is_empty() && ends_in_keyword(text) {
                    text.push(' ');
                }
                text.push_str(open);
                write(group.stream(), text);
                text.truncate(text.trim_end().len());
                text.push_str(close);
            }
            TokenTree::Punct(punct) => match punct.as_char() {
                mark @ (',' | ';') => text.extend([mark, ' ']),
                mark @ ('+' | '=') => text.extend([' ', mark, ' ']),
                '-' if punct.spacing() == Spacing::Joint => text.push_str(" -"),
                '>' if text.ends_with(" -") => text.push_str("> "),
                '>' => {
                    text.truncate(text.trim_end().len());
                    text.push('>');
                }
                '\'' if text.ends_with(is_word) => text.push_str(" '"),
                mark if ends_in_keyword(text) => text.extend([' ', mark]),
                mark => text.push(mark),
            },
            word => {
                if text.ends_with(|end| is_word(end) || end == '>') {
                    text.push(' ');
                }
                text.push_str(&word.to_string());
            }
        }
    }
}

fn is_word(end: char) -> bool {
    end.is_alphanumeric() || end == '_'
}

/// Whether the text ends in a word that a space follows even before a mark, as in
/// `*const [u8]`.
fn ends_in_keyword(text: &str) -> bool {
    let start = text.trim_end_matches(is_word).len();
    matches!(&text[start..], "as" | "const" | "dyn" | "impl" | "mut")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_look_as_they_are_written() {
        for ty in [
            "u8",
            "Option<u32>",
            "std::collections::HashMap<String, Vec<[u8; 4]>>",
            "::std::path::PathBuf",
            "(u8, Vec<()>)",
            "&'static mut [u8]",
            "*const [u8]",
            "Box<dyn for<'a> Fn(&'a str, u8) -> Result<(), E> + Send + 'static>",
            "impl Iterator<Item = u8>",
            "<Vec<u8> as IntoIterator>::Item",
            "<u8 as ::core::ops::Add>::Output",
            "Json<r#type::Value>",
            "Fixed<-1, 'x', \"text\">",
            "fn(u8) -> !",
        ] {
            let tokens: TokenStream = ty.parse().unwrap();
            assert_eq!(text(tokens), ty);
        }
    }
}
