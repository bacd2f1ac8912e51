export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="var(--logo)" />
      <path
        d="M5 21c4 0 4-10 8-10s4 10 8 10 3-5 6-7"
        fill="none"
        stroke="#f1b94b"
        stroke-width="3"
        stroke-linecap="round"
      />
    </svg>
  );
}
