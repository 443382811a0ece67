//! The forms that most directives have, so that each is one entry of a table.

macro_rules! directive {
    ($name:literal $arguments:literal like $($example:literal)*, $default:expr, $doc:expr, $parse:expr, $show:expr) => {
        Directive {
            name: $name,
            syntax: concat!($name, $arguments),
            example: concat!($name, $($example),*),
            default: $default,
            doc: $doc,
            does: crate::directive::Does::Set { parse: $parse, show: $show },
        }
    };
}

/// A number that is not negative, in a field.
macro_rules! magnitude {
    ($name:literal $what:literal, $default:literal, $doc:literal, $($field:ident).+) => {
        directive!(
            $name " NUMBER" like " " $default,
            $default,
            $doc,
            |w, s| {
                let value = w.magnitude($what)?;
                w.end()?;
                s.$($field).+ = value;
                Some(())
            },
            |s| vec![s.$($field).+.to_string()]
        )
    };
}

/// A path in a field; `/` means none where `$slash` says so.
macro_rules! path {
    ($name:literal like $example:literal, $default:literal, $doc:literal, $($field:ident).+, slash: $slash:literal) => {
        directive!(
            $name " PATH" like $example,
            $default,
            $doc,
            |w, s| {
                let path = w.path("a path")?;
                w.end()?;
                s.$($field).+ = Some(path).filter(|path| !$slash || path != std::path::Path::new("/"));
                Some(())
            },
            |s| match &s.$($field).+ {
                Some(path) => vec![path.display().to_string()],
                None if $slash => vec!["/".to_owned()],
                None => Vec::new(),
            }
        )
    };
}

/// An integer within limits; shown where it is not the default.
macro_rules! count {
    ($name:literal $argument:literal like $example:literal, $default:literal, $doc:literal, $what:literal, $min:literal to $max:expr, $($field:ident).+ : $t:ty) => {
        directive!(
            $name $argument like $example,
            stringify!($default),
            $doc,
            |w, s| {
                let value = w.integer($what, $min, i64::from($max))?;
                w.end()?;
                s.$($field).+ = <$t>::try_from(value).unwrap_or_default();
                Some(())
            },
            |s| (s.$($field).+ != $default).then(|| s.$($field).+.to_string()).into_iter().collect()
        )
    };
}

/// A directive without words.
macro_rules! switch {
    ($name:literal, $doc:literal, $($field:ident).+) => {
        directive!(
            $name "" like "",
            "off",
            $doc,
            |w, s| {
                w.end()?;
                s.$($field).+ = true;
                Some(())
            },
            |s| if s.$($field).+ { vec![String::new()] } else { Vec::new() }
        )
    };
}

/// One word in a field that may be empty.
macro_rules! word {
    ($name:literal $argument:literal like $example:literal, $doc:literal, $what:literal, $($field:ident).+) => {
        directive!(
            $name $argument like $example,
            "none",
            $doc,
            |w, s| {
                let word = w.required($what)?;
                w.end()?;
                s.$($field).+ = Some(word.text.to_owned());
                Some(())
            },
            |s| s.$($field).+.iter().cloned().collect()
        )
    };
}

/// One of a few words.
macro_rules! choice {
    ($name:literal $argument:literal like $example:literal, $default:literal, $doc:literal, $what:literal, $t:ty, |$s:ident, $value:ident| $set:expr, |$show:ident| $shown:expr) => {
        directive!(
            $name $argument like $example,
            $default,
            $doc,
            |w, $s| {
                let word = w.required(concat!("a ", $what))?;
                w.end()?;
                match <$t>::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(word.text)) {
                    Some((_, $value)) => {
                        let $value = *$value;
                        $set;
                        Some(())
                    }
                    None => {
                        let names: Vec<&str> = <$t>::ALL.iter().map(|(name, _)| *name).collect();
                        w.no_choice(word, $what, &names);
                        None
                    }
                }
            },
            |$show| $shown
        )
    };
}
