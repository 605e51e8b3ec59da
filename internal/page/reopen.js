if (top !== self) top.location.replace(location.href);
