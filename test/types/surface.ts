import { fileURLToPath } from 'node:url';
import ts from 'typescript';

// The built declarations, as an editor reads them.
const dist = fileURLToPath(new URL('../../dist/', import.meta.url));

/** What an entry file exports, and what an editor shows of it. */
export interface Surface {
  readonly values: readonly string[];
  readonly types: readonly string[];
  /** Names, and members as `Name.member`, without a text. */
  readonly undocumented: readonly string[];
  /** Options that may be left out, without `@defaultValue`. */
  readonly withoutDefault: readonly string[];
}

/** @param subpath - `.`, or a part that the root does not export */
export function readSurface(subpath: '.' | 'client' | 'conformance'): Surface {
  const entry = fileURLToPath(new URL(`../../dist/${subpath}/index.d.ts`, import.meta.url));
  const program = ts.createProgram([entry], {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: true,
  });
  const checker = program.getTypeChecker();
  const isOwn = (symbol: ts.Symbol): boolean =>
    (symbol.declarations ?? []).some((declaration) => declaration.getSourceFile().fileName.startsWith(dist));
  const isDocumented = (symbol: ts.Symbol): boolean => symbol.getDocumentationComment(checker).length > 0;
  const values: string[] = [];
  const types: string[] = [];
  const undocumented = new Set<string>();
  const withoutDefault = new Set<string>();

  for (const exported of checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entry)!)!)) {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    const { name } = exported;
    (symbol.flags & ts.SymbolFlags.Value ? values : types).push(name);
    if (!isDocumented(symbol)) undocumented.add(name);
    if (!(symbol.flags & (ts.SymbolFlags.Interface | ts.SymbolFlags.Class | ts.SymbolFlags.TypeAlias))) continue;
    const type = checker.getDeclaredTypeOfSymbol(symbol);
    if (type.isUnion() && !type.types.every((each) => each.flags & ts.TypeFlags.Object)) continue;
    for (const member of type.isUnion() ? [] : type.getProperties()) {
      if (!isOwn(member) || member.name.startsWith('__@') || member.name === 'prototype') continue;
      if (member.name.startsWith('#')) continue;
      if (!isDocumented(member)) undocumented.add(`${name}.${member.name}`);
      const isOption = name.endsWith('Options') && (member.flags & ts.SymbolFlags.Optional) !== 0;
      if (isOption && !member.getJsDocTags().some((tag) => tag.name === 'defaultValue'))
        withoutDefault.add(`${name}.${member.name}`);
    }
  }
  return {
    values: values.toSorted(),
    types: types.toSorted(),
    undocumented: [...undocumented].toSorted(),
    withoutDefault: [...withoutDefault].toSorted(),
  };
}
