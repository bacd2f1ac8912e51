// Light or dark: as the system has it, until somebody chooses.

import { useEffect, useState } from "preact/hooks";

export type Theme = "light" | "dark";

const KEY = "flowmeter.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

function current(): Theme {
  const chosen = localStorage.getItem(KEY);
  if (chosen === "light" || chosen === "dark") return chosen;
  return dark.matches ? "dark" : "light";
}

/** Before anything is drawn. */
export function applyTheme(): void {
  document.documentElement.dataset.theme = current();
}

export function useTheme(): [Theme, () => void] {
  const [theme, setTheme] = useState(current);
  useEffect(() => {
    const follow = () => {
      applyTheme();
      setTheme(current());
    };
    dark.addEventListener("change", follow);
    return () => dark.removeEventListener("change", follow);
  }, []);
  const toggle = () => {
    localStorage.setItem(KEY, theme === "dark" ? "light" : "dark");
    applyTheme();
    setTheme(current());
  };
  return [theme, toggle];
}
