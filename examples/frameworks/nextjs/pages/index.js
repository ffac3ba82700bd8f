export default function Page() {
  return 'A page of Next.js';
}
