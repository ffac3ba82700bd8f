// A file deleted from src must not live on in the package. Pruned after the build and not wiped before it, so that
// programs which run from dist meanwhile go on.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

for (const entry of readdirSync(join(root, 'dist'), { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const built = join(entry.parentPath, entry.name);
  const source = built.replace(join(root, 'dist'), join(root, 'src')).replace(/(\.d\.ts|\.js)$/, '.ts');
  if (!existsSync(source)) rmSync(built);
}
