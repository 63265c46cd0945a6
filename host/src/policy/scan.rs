//! Scans a module before it is compiled. A compile-time bomb is a valid module and no bug of the compiler, so it is
//! known by its shape: sizes, counts, and above all loops inside loops.
//!
//! Runs in the confined child; it takes bytes and returns values.

use super::fault::{Flaw, Rejection, one_line};
use super::frame::Contract;
use super::limits::{Bounds, Class, Limits};
use serde::{Deserialize, Serialize};
use wasmparser::{
    ComponentExternalKind, ComponentTypeRef, Encoding, ExternalKind, FunctionBody, Operator, Parser, Payload,
    TypeRef, Validator, WasmFeatures,
};

const PAGE_BYTES: u64 = 64 << 10;
/// Names shown of a module's imports and exports.
const NAMES: usize = 256;

/// What can be told of a module without running it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// SHA-256 of the file, in hex.
    pub digest: String,
    /// Which contract it follows.
    pub contract: Option<Contract>,
    /// Bytes of the file.
    pub size: u64,
    /// What it imports, printable.
    pub imports: Vec<String>,
    /// What it exports, printable.
    pub exports: Vec<String>,
    /// The measures that its class bounds.
    pub shape: Shape,
    /// A component's own description of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<serde_json::Value>,
}

/// The measures of a module that its class bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is explained at its bound in `Bounds`")]
pub struct Shape {
    pub nesting: u32,
    pub loops: u32,
    pub loop_locals: u64,
    pub function_bytes: u64,
    pub functions: u64,
    pub locals: u64,
    pub segments: u64,
    pub sections: u64,
    pub table_elements: u64,
    pub core_instances: u64,
    pub memory_bytes: u64,
}

/// What a module may use: what the toolchains of Rust, C and Go emit by default. Vector instructions only
/// where an interpreter was built with them: they were part of two compiler bugs in 2026.
pub(crate) fn features(class: Class) -> WasmFeatures {
    let base = WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::FLOATS
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::COMPONENT_MODEL;
    match class {
        Class::Compiled => base,
        Class::Interpreter => base | WasmFeatures::SIMD,
    }
}

/// Looks at a module; says what it is, or the first thing that bars it.
///
/// # Errors
/// The rejection.
pub(crate) fn scan(
    bytes: &[u8],
    class: Class,
    bounds: &Bounds,
    limits: &Limits,
) -> Result<Inspection, Rejection> {
    if bytes.len() as u64 > bounds.module_bytes {
        return Err(super::artefact::too_large(bytes.len() as u64, class, bounds));
    }
    let mut scan = Scan {
        bounds: *bounds,
        limits: *limits,
        found: Inspection::default(),
        depth: 0,
        memory_export: false,
    };
    scan.found.size = bytes.len() as u64;
    magic(bytes)?;
    for payload in Parser::new(0).parse_all(bytes) {
        scan.payload(payload.map_err(|error| malformed(&error))?)?;
    }
    validate(bytes, class)?;
    scan.contract()?;
    Ok(scan.found)
}

/// What a file is that does not begin as WebAssembly does: most often something that took a wrong turn.
fn magic(bytes: &[u8]) -> Result<(), Rejection> {
    let text = String::from_utf8_lossy(bytes.get(..64).unwrap_or(bytes)).trim_start().to_lowercase();
    let begins = |start: &[u8]| bytes.starts_with(start);
    let what = match bytes {
        _ if begins(b"\0asm") => return Ok(()),
        [] => "the file is empty".to_owned(),
        _ if b"\0asm".starts_with(bytes) => format!("the file ends after {} bytes", bytes.len()),
        _ if begins(b"\x7fELF") => "this is a program for Linux, not WebAssembly".to_owned(),
        _ if begins(b"\x1f\x8b") => "this is packed with gzip; unpack it first".to_owned(),
        _ if begins(b"PK\x03\x04") => "this is a zip archive; unpack it first".to_owned(),
        _ if text.starts_with("<!doctype") || text.starts_with("<html") => {
            "this is a web page, most likely of a download that failed".to_owned()
        }
        _ if text.starts_with("(module") || text.starts_with("(component") => {
            "this is WebAssembly as text; make it binary first, with `wasm-tools parse`".to_owned()
        }
        [..] => "this is not WebAssembly".to_owned(),
    };
    Err(Rejection::new(Flaw::Malformed, what))
}

fn malformed(error: &wasmparser::Error) -> Rejection {
    Rejection::new(Flaw::Malformed, clause_and_place(error))
}

/// The first clause of the parser's message, and the place; the rest of the message is bytes that help nobody.
fn clause_and_place(error: &wasmparser::Error) -> String {
    let message = error.message();
    let clause = message.split(" - expected=").next().unwrap_or(message);
    let clause = clause.lines().next().unwrap_or(clause).split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{clause}, at byte {} of the file", error.offset())
}

/// Validates, and tells what is invalid from what is only switched off.
fn validate(bytes: &[u8], class: Class) -> Result<(), Rejection> {
    let Err(error) = Validator::new_with_features(features(class)).validate_all(bytes) else { return Ok(()) };
    let flaw = match Validator::new_with_features(WasmFeatures::all()).validate_all(bytes) {
        Ok(_) => Flaw::Feature,
        Err(_) => Flaw::Malformed,
    };
    Err(Rejection::new(flaw, clause_and_place(&error)))
}

struct Scan {
    bounds: Bounds,
    limits: Limits,
    found: Inspection,
    /// How many modules or components are open: 1 for the outermost.
    depth: u32,
    memory_export: bool,
}

impl Scan {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the validator knows the other payloads")]
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), Rejection> {
        let shape = &mut self.found.shape;
        if !matches!(payload, Payload::Version { .. } | Payload::CodeSectionEntry(_) | Payload::End(_)) {
            shape.sections += 1;
            at_most(shape.sections, self.bounds.sections, Flaw::TooManySections, "sections")?;
        }
        match payload {
            Payload::Version { encoding, .. } => self.open(encoding)?,
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::ImportSection(section) if self.depth == 1 => {
                for import in section.into_imports() {
                    let import = import.map_err(|error| malformed(&error))?;
                    self.core_import(import.module, import.name, &import.ty)?;
                }
            }
            Payload::ComponentImportSection(section) if self.depth == 1 => {
                for import in section {
                    let import = import.map_err(|error| malformed(&error))?;
                    // A type is a name for a shape and gives nothing to call.
                    if !matches!(import.ty, ComponentTypeRef::Type(_)) {
                        self.component_import(import.name.name)?;
                    }
                }
            }
            Payload::ExportSection(section) if self.depth == 1 => {
                for export in section {
                    let export = export.map_err(|error| malformed(&error))?;
                    self.memory_export |= export.kind == ExternalKind::Memory && export.name == "memory";
                    let name = if export.kind == ExternalKind::Func { "func " } else { "" };
                    note(&mut self.found.exports, format!("{name}{}", export.name));
                }
            }
            Payload::ComponentExportSection(section) if self.depth == 1 => {
                for export in section {
                    let export = export.map_err(|error| malformed(&error))?;
                    let name = if export.kind == ComponentExternalKind::Func { "func " } else { "" };
                    note(&mut self.found.exports, format!("{name}{}", export.name.name));
                }
            }
            Payload::FunctionSection(section) => {
                shape.functions += u64::from(section.count());
                at_most(shape.functions, self.bounds.functions, Flaw::TooManyFunctions, "functions")?;
            }
            Payload::TableSection(section) => {
                for table in section {
                    let initial = table.map_err(|error| malformed(&error))?.ty.initial;
                    shape.table_elements = shape.table_elements.saturating_add(initial);
                }
                at_most(
                    shape.table_elements,
                    self.bounds.table_elements,
                    Flaw::TableLimit,
                    "table elements",
                )?;
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let initial = memory.map_err(|error| malformed(&error))?.initial;
                    shape.memory_bytes =
                        shape.memory_bytes.saturating_add(initial.saturating_mul(PAGE_BYTES));
                }
                at_most(shape.memory_bytes, self.limits.memory_bytes, Flaw::MemoryLimit, "bytes of memory")?;
            }
            Payload::DataSection(section) => self.segments(section.count())?,
            Payload::ElementSection(section) => self.segments(section.count())?,
            Payload::ModuleSection { .. } => self.instances(1)?,
            Payload::InstanceSection(section) => self.instances(section.count())?,
            Payload::CodeSectionEntry(body) => self.function(&body)?,
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, encoding: Encoding) -> Result<(), Rejection> {
        self.depth += 1;
        if self.depth == 1 {
            self.found.contract = Some(match encoding {
                Encoding::Module => Contract::Program,
                Encoding::Component => Contract::Component,
            });
        }
        // Tools nest two deep; the parser's own stack grows with every level.
        at_most(u64::from(self.depth), 16, Flaw::Nesting, "components inside one another")
    }

    fn segments(&mut self, count: u32) -> Result<(), Rejection> {
        self.found.shape.segments += u64::from(count);
        at_most(self.found.shape.segments, self.bounds.segments, Flaw::TooManySegments, "segments")
    }

    fn instances(&mut self, count: u32) -> Result<(), Rejection> {
        self.found.shape.core_instances += u64::from(count);
        // A core module is counted when it is defined and when it is instantiated.
        let most = self.bounds.core_instances * 2;
        at_most(self.found.shape.core_instances, most, Flaw::TooManyInstances, "core modules and instances")
    }

    fn core_import(&mut self, module: &str, name: &str, ty: &TypeRef) -> Result<(), Rejection> {
        note(&mut self.found.imports, format!("{module}.{name}"));
        let known = module == super::guest::names::PREVIEW1
            && super::guest::names::preview1(name)
            && matches!(ty, TypeRef::Func(_));
        if known {
            return Ok(());
        }
        let detail = format!(
            "imports {module}.{name}; a program is given the functions of {} and nothing else",
            super::guest::names::PREVIEW1
        );
        Err(Rejection::new(Flaw::Import, detail))
    }

    fn component_import(&mut self, name: &str) -> Result<(), Rejection> {
        note(&mut self.found.imports, name.to_owned());
        if super::guest::names::component(name) {
            return Ok(());
        }
        let detail =
            format!("imports {name}; a component is given `log`, the contract's types and inert WASI");
        Err(Rejection::new(Flaw::Import, detail))
    }

    fn function(&mut self, body: &FunctionBody<'_>) -> Result<(), Rejection> {
        let range = body.range();
        let size = (range.end - range.start) as u64;
        let shape = &mut self.found.shape;
        shape.function_bytes = shape.function_bytes.max(size);
        at_most(size, self.bounds.function_bytes, Flaw::FunctionTooLarge, "bytes in one function")?;
        let locals = locals(body)?;
        shape.locals = shape.locals.max(locals);
        at_most(locals, self.bounds.locals, Flaw::TooManyLocals, "locals in one function")?;
        let (nesting, loops) = nesting(body)?;
        shape.nesting = shape.nesting.max(nesting);
        shape.loops = shape.loops.max(loops);
        at_most(
            u64::from(nesting),
            u64::from(self.bounds.nesting),
            Flaw::Nesting,
            "blocks inside one another",
        )?;
        at_most(u64::from(loops), u64::from(self.bounds.loops), Flaw::Nesting, "loops inside one another")?;
        let product = u64::from(loops) * locals;
        shape.loop_locals = shape.loop_locals.max(product);
        at_most(product, self.bounds.loop_locals, Flaw::Nesting, "loop depth times locals")
    }

    /// What the module must have to follow its contract.
    fn contract(&self) -> Result<(), Rejection> {
        match self.found.contract {
            Some(Contract::Program) => {
                if !self.found.exports.iter().any(|name| name == "func _start") {
                    let detail = "a core module must export the function `_start` (a WASI command)";
                    return Err(Rejection::new(Flaw::Export, detail));
                }
                if !self.memory_export {
                    return Err(Rejection::new(Flaw::Export, "a WASI program must export its `memory`"));
                }
            }
            Some(Contract::Component) => {
                for name in ["describe", "evaluate"] {
                    if !self.found.exports.iter().any(|export| export == &format!("func {name}")) {
                        let detail =
                            format!("the component does not export `{name}` of plimsoll:policy/policy");
                        return Err(Rejection::new(Flaw::Contract, detail));
                    }
                }
            }
            None => return Err(Rejection::new(Flaw::Malformed, "empty file")),
        }
        Ok(())
    }
}

fn at_most(found: u64, most: u64, flaw: Flaw, what: &str) -> Result<(), Rejection> {
    if found <= most {
        return Ok(());
    }
    Err(Rejection::new(flaw, format!("{found} {what}; its class allows {most}")))
}

fn note(names: &mut Vec<String>, name: String) {
    if names.len() < NAMES {
        names.push(one_line(&name, 128));
    }
}

fn locals(body: &FunctionBody<'_>) -> Result<u64, Rejection> {
    let mut count = 0;
    for group in body.get_locals_reader().map_err(|error| malformed(&error))? {
        count += u64::from(group.map_err(|error| malformed(&error))?.0);
    }
    Ok(count)
}

/// How deep blocks, and how deep loops, stand inside one another.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other operators leave the depth as it is")]
fn nesting(body: &FunctionBody<'_>) -> Result<(u32, u32), Rejection> {
    let mut open = Vec::new();
    let (mut deepest, mut loops, mut most_loops) = (0, 0_u32, 0);
    let mut operators = body.get_operators_reader().map_err(|error| malformed(&error))?;
    while !operators.eof() {
        match operators.read().map_err(|error| malformed(&error))? {
            Operator::Loop { .. } => {
                open.push(true);
                loops += 1;
            }
            Operator::Block { .. }
            | Operator::If { .. }
            | Operator::Try { .. }
            | Operator::TryTable { .. } => {
                open.push(false);
            }
            Operator::End => loops -= u32::from(open.pop().unwrap_or(false)),
            _ => {}
        }
        deepest = deepest.max(open.len());
        most_loops = most_loops.max(loops);
    }
    Ok((u32::try_from(deepest).unwrap_or(u32::MAX), most_loops))
}
