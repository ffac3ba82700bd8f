import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** `examples/observability`. */
export const exampleFolder: string = fileURLToPath(new URL('../../examples/observability/', import.meta.url));

export const alertsFile: string = `${exampleFolder}alerts.yml`;

/** A query of a panel, of an annotation, or of a variable. */
export interface DashboardQuery {
  readonly title: string;
  readonly expression: string;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly { readonly expr: string; readonly datasource: { readonly uid: string } }[];
}

/** What tests read of the dashboard. */
export interface Dashboard {
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
  readonly annotations: { readonly list: readonly { readonly name: string; readonly expr?: string }[] };
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string; readonly query: unknown }[];
  };
}

export function readDashboard(): Dashboard {
  return JSON.parse(readFileSync(`${exampleFolder}dashboard.json`, 'utf8')) as Dashboard;
}

/** All queries of a dashboard in PromQL. */
export function queriesOf({ panels, annotations }: Dashboard): DashboardQuery[] {
  return [
    ...panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expression: expr }))),
    ...annotations.list.flatMap(({ name, expr }) => (expr === undefined ? [] : [{ title: name, expression: expr }])),
  ];
}
