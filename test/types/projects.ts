import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('projects/', import.meta.url));
const dist = fileURLToPath(new URL('../../dist/', import.meta.url));

// Parsed once for all projects: what differs between them is how modules are found, and how types are compared.
const sources = new Map<string, ts.SourceFile | undefined>();

/**
 * Compiles a project as its owner would, with every declaration of this library that it uses. Returns the complaints. A
 * module that `paths` sends to `./not-installed` is missing.
 */
export function compileProject(name: string, extra: ts.CompilerOptions): string[] {
  const host = { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => undefined };
  const config = ts.getParsedCommandLineOfConfigFile(`${root}${name}/tsconfig.json`, extra, host)!;
  const program = ts.createProgram(config.fileNames, config.options, hostOf(config.options));
  const own = program.getSourceFiles().filter(({ fileName }) => fileName.startsWith(root) || fileName.startsWith(dist));
  const complaints = own.flatMap((file) => [
    ...program.getSyntacticDiagnostics(file),
    ...program.getSemanticDiagnostics(file),
  ]);
  return [...config.errors, ...program.getOptionsDiagnostics(), ...complaints].map((complaint) =>
    ts.formatDiagnostic(complaint, {
      getCurrentDirectory: () => root,
      getCanonicalFileName: (file) => file,
      getNewLine: () => '\n',
    }),
  );
}

function hostOf(options: ts.CompilerOptions): ts.CompilerHost {
  const host = ts.createCompilerHost(options);
  const read = host.getSourceFile;
  host.getSourceFile = (name, languageVersion, ...rest) => {
    // The format of a module is a part of the file.
    const key = `${name} ${JSON.stringify(languageVersion)}`;
    if (!sources.has(key)) sources.set(key, read(name, languageVersion, ...rest));
    return sources.get(key);
  };
  const missing = Object.entries(options.paths ?? {}).filter(([, [path]]) => path === './not-installed');
  const names = new Set(missing.map(([name]) => name));
  const cache = ts.createModuleResolutionCache(root, (name) => name, options);
  host.resolveModuleNameLiterals = (literals, containingFile, redirected, _options, sourceFile) =>
    literals.map((literal) => {
      if (names.has(literal.text)) return { resolvedModule: undefined };
      const mode = ts.getModeForUsageLocation(sourceFile, literal, options);
      return ts.resolveModuleName(literal.text, containingFile, options, host, cache, redirected, mode);
    });
  return host;
}
